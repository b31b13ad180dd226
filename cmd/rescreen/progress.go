package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often progress is shown.
const (
	// redrawEvery is the pace on a terminal: smooth to the eye, and nothing
	// against the work.
	redrawEvery = 100 * time.Millisecond
	// Elsewhere a log grows: the first line comes when the work turns out to
	// take its time, and the pauses between lines grow from firstPause to
	// longestPause, so that a night makes some thousand lines, not a hundred thousand.
	quietFor     = 3 * time.Second
	firstPause   = 5 * time.Second
	longestPause = 30 * time.Second

	// defaultWidth is that of a terminal which does not say how wide it is.
	defaultWidth = 80
)

// progress shows how far a command has come: on a terminal as one line that is
// redrawn, elsewhere as lines at a bounded rate. It has no goroutine: who does
// the work calls show, as often as they like.
//
// Whatever else is to appear on the same output meanwhile goes through note or
// Write, so that it does not end up in the middle of the line.
type progress struct {
	out      io.Writer
	terminal bool
	paint    colours
	width    func() int // of the terminal, in columns

	mu    sync.Mutex
	speed speed
	line  string    // what stands on the terminal's current line
	shown time.Time // last time
	begun time.Time
	pause time.Duration // to the next plain line
}

// progress returns a display on w, which is one of the process's outputs.
func (a *app) progress(w io.Writer) *progress {
	name, _ := a.getenv("TERM")
	p := &progress{out: w, paint: a.colours(w), terminal: isTerminal(w) && name != "dumb"}
	p.width = func() int { return defaultWidth }
	if f, ok := w.(*os.File); ok {
		p.width = func() int { return terminalWidth(f) }
	}
	return p
}

// terminalWidth asks each time: people resize their windows.
func terminalWidth(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return defaultWidth
	}
	return width
}

// show says how far it has come.
func (p *progress) show(r reading) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.begun.IsZero() {
		p.begun, p.pause = now, quietFor
		p.shown = now
		if p.terminal { // draw at once
			p.shown = now.Add(-redrawEvery)
		}
	}
	p.speed.add(now, r)
	if p.terminal {
		if now.Sub(p.shown) >= redrawEvery {
			p.shown = now
			p.draw(r.line(p.speed.pace(), p.width()-1, p.paint)) // the last column would wrap on some terminals
		}
		return
	}
	if now.Sub(p.shown) >= p.pause {
		p.shown = now
		p.pause = min(max(firstPause, p.pause*3/2), longestPause)
		p.print(r.sentence(p.speed.pace()) + "\n")
	}
}

// note writes a line that stays.
func (p *progress) note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.above(text + "\n")
}

// Write implements io.Writer for a logger that shares the output: each call
// writes whole lines.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.above(string(b))
	return len(b), nil
}

// end takes the line off the terminal: what was achieved is for the caller to
// say. It may be called more than once.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw("")
}

// eraseLine goes to the beginning of the line and erases it.
const eraseLine = "\r\x1b[K"

func (p *progress) draw(line string) {
	if line == p.line {
		return
	}
	p.line = line
	p.print(eraseLine + line)
}

// above writes text where the line stands, and the line below it.
func (p *progress) above(text string) {
	if p.line == "" {
		p.print(text)
		return
	}
	p.print(eraseLine + strings.TrimSuffix(text, "\n") + "\n" + p.line)
}

// print writes to an output whose loss must not stop the work.
func (p *progress) print(s string) { _, _ = io.WriteString(p.out, s) }

// speedWindow is what a rate is the average of: long enough to be steady,
// short enough to follow a change.
const (
	speedWindow  = 30 * time.Second
	speedSpacing = 500 * time.Millisecond
)

// speed remembers the last readings.
type speed struct{ samples []sample }

type sample struct {
	at          time.Time
	done, count int64
	left        int64
}

// pace is what the last readings amount to; zero where they say nothing.
type pace struct {
	perSecond float64       // of what is counted
	left      time.Duration // until the end
}

func (s *speed) add(now time.Time, r reading) {
	next := sample{at: now, done: r.Done, count: r.Count, left: r.Total - r.Done}
	// The newest sample moves along until it is far enough from the one before.
	if n := len(s.samples); n >= 2 && s.samples[n-1].at.Sub(s.samples[n-2].at) < speedSpacing {
		s.samples[n-1] = next
	} else {
		s.samples = append(s.samples, next)
	}
	for len(s.samples) > 2 && now.Sub(s.samples[1].at) >= speedWindow {
		s.samples = s.samples[1:]
	}
}

func (s *speed) pace() pace {
	if len(s.samples) < 2 {
		return pace{}
	}
	first, last := s.samples[0], s.samples[len(s.samples)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds < speedSpacing.Seconds() {
		return pace{}
	}
	p := pace{perSecond: float64(last.count-first.count) / seconds}
	if done := last.done - first.done; done > 0 && last.left > 0 {
		p.left = time.Duration(float64(last.left) / float64(done) * seconds * float64(time.Second))
	}
	return p
}
