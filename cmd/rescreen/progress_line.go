package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// reading is how far something has come at one moment.
type reading struct {
	What string // what is being done: "submitting"
	// Done and Total are the place on the bar, in any unit. Total 0 means that
	// the end is not known: no bar, no time left.
	Done, Total int64
	// Count is the figure whose rate is shown, in Unit: 4200 "rows".
	Count int64
	Unit  string
	Parts []figure // further figures
}

// figure is a number with its name, in the colour of its meaning.
type figure struct {
	Name  string
	N     int64
	Paint func(string) string // nil: none; not called for zero
}

// segment is a piece of a line; colours do not count in its width.
type segment struct {
	text  string
	paint func(string) string
}

const (
	shortestBar, longestBar = 10, 40
	gap                     = "  "
)

// line is the reading in one line of at most width columns: the bar takes what
// the figures leave, and figures go from the end when they do not fit.
func (r reading) line(p pace, width int, paint colours) string {
	segments := []segment{{text: r.What}}
	if r.Total > 0 {
		segments = append(segments, segment{text: fmt.Sprintf("%3d %%", r.percent())})
	}
	segments = append(segments, r.figures(p)...)
	used := columns(segments)
	for len(segments) > 1 && used > width {
		segments = segments[:len(segments)-1]
		used = columns(segments)
	}
	if room := width - used - len(gap); r.Total > 0 && len(segments) > 1 && room >= shortestBar {
		bar := segment{text: r.bar(min(room, longestBar)), paint: paint.green}
		segments = append(segments[:1], append([]segment{bar}, segments[1:]...)...)
	}
	texts := make([]string, len(segments))
	for i, s := range segments {
		texts[i] = s.text
		if s.paint != nil && paint {
			texts[i] = s.paint(s.text)
		}
	}
	return strings.Join(texts, gap)
}

// sentence is the reading as a line of a log.
func (r reading) sentence(p pace) string {
	var texts []string
	if r.Total > 0 {
		texts = append(texts, fmt.Sprintf("%d %%", r.percent()))
	}
	for _, s := range r.figures(p) {
		texts = append(texts, s.text)
	}
	return r.What + ": " + strings.Join(texts, ", ")
}

func (r reading) figures(p pace) []segment {
	segments := []segment{{text: grouped(r.Count) + " " + r.Unit}}
	if p.perSecond > 0 {
		segments = append(segments, segment{text: rateText(p.perSecond)})
	}
	if p.left > 0 {
		segments = append(segments, segment{text: spanText(p.left) + " left"})
	}
	for _, f := range r.Parts {
		s := segment{text: grouped(f.N) + " " + f.Name}
		if f.N != 0 {
			s.paint = f.Paint
		}
		segments = append(segments, s)
	}
	return segments
}

func columns(segments []segment) int {
	n := len(gap) * (len(segments) - 1)
	for _, s := range segments {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

func (r reading) fraction() float64 {
	return min(max(float64(r.Done)/float64(r.Total), 0), 1)
}

// percent is rounded down: 100 % is said when nothing is missing.
func (r reading) percent() int { return int(r.fraction() * 100) }

func (r reading) bar(width int) string {
	full := int(r.fraction() * float64(width))
	return strings.Repeat("█", full) + strings.Repeat("░", width-full)
}

// grouped writes a number in groups of three digits.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// rateText writes a rate with two or more meaningful digits, per minute where
// a second is too short.
func rateText(perSecond float64) string {
	switch {
	case perSecond >= 10:
		return grouped(int64(math.Round(perSecond))) + "/s"
	case perSecond >= 1:
		return fmt.Sprintf("%.1f/s", perSecond)
	}
	return fmt.Sprintf("%.1f/min", perSecond*60)
}

// spanText writes a duration as exactly as an estimate deserves.
func spanText(d time.Duration) string {
	d = max(d.Round(time.Second), time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(math.Round(d.Hours()/24)))
}
