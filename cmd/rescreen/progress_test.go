package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// display is a progress on a terminal of the given width, 0 for none.
func display(width int) (*progress, *strings.Builder) {
	var out strings.Builder
	return &progress{out: &out, terminal: width > 0, width: func() int { return width }}, &out
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := display(70)
		at := func(done int64, wait time.Duration) {
			p.show(reading{What: "screening", Done: done, Total: 1000, Count: done, Unit: "done", Parts: []figure{{Name: "failed", N: done / 100}}})
			time.Sleep(wait)
		}
		at(0, 50*time.Millisecond)
		at(10, 950*time.Millisecond) // too soon to be drawn
		at(100, time.Second)
		p.note("NATS answers again")
		at(300, time.Second)
		at(1000, 0)
		p.end()
		p.end()
		want := []string{
			"screening  ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░    0 %  0 done  0 failed",
			"screening  █░░░░░░░░░░░░░░   10 %  100 done  100/s  9s left  1 failed",
			"NATS answers again\nscreening  █░░░░░░░░░░░░░░   10 %  100 done  100/s  9s left  1 failed",
			"screening  ████░░░░░░░░░░░   30 %  300 done  150/s  5s left  3 failed",
			"screening  █████████████████████  100 %  1,000 done  333/s  10 failed",
			"",
		}
		if got := strings.Split(out.String(), eraseLine)[1:]; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("drawn\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Off a terminal nothing is said about what is quickly done, and of the rest
// ever more rarely.
func TestProgressInALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, out := display(0)
		begun := time.Now()
		var lines []string
		for i := int64(0); i <= 20_000; i++ {
			out.Reset()
			p.show(reading{What: "submitting", Done: i, Total: 20_000, Count: 10 * i, Unit: "rows"})
			if out.Len() > 0 {
				lines = append(lines, fmt.Sprintf("%s %s", time.Since(begun), strings.TrimSpace(out.String())))
			}
			time.Sleep(10 * time.Millisecond)
		}
		out.Reset()
		p.end()
		if out.Len() > 0 {
			t.Errorf("at the end: %q", out)
		}
		want := []string{
			"3s submitting: 1 %, 3,000 rows, 1,000/s, 3m17s left",
			"8s submitting: 4 %, 8,000 rows, 1,000/s, 3m12s left",
			"15.5s submitting: 7 %, 15,500 rows, 1,000/s, 3m05s left",
			"26.75s submitting: 13 %, 26,750 rows, 1,000/s, 2m53s left",
			"43.63s submitting: 21 %, 43,630 rows, 1,000/s, 2m36s left",
			"1m8.95s submitting: 34 %, 68,950 rows, 1,000/s, 2m11s left",
		}
		if len(lines) != 10 || strings.Join(lines[:6], "\n") != strings.Join(want, "\n") {
			t.Errorf("%d lines\n%s\nwant\n%s", len(lines), strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

// A line of a log goes above the progress, and the progress stays.
func TestProgressSharesItsOutput(t *testing.T) {
	p, out := display(60)
	if _, err := p.Write([]byte("early\n")); err != nil {
		t.Error(err)
	}
	p.show(reading{What: "submitting", Count: 3, Unit: "rows"})
	if n, err := p.Write([]byte("a line\n")); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	want := "early\n" + eraseLine + "submitting  3 rows" + eraseLine + "a line\nsubmitting  3 rows"
	if out.String() != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestProgressOfAnApp(t *testing.T) {
	var out strings.Builder
	p := (&app{environ: []string{"TERM=xterm"}}).progress(&out)
	if p.terminal || bool(p.paint) || p.width() != defaultWidth || isTerminal(p) {
		t.Errorf("%+v", p)
	}
}

// What stalls says so: no rate, no end.
func TestSpeedForgets(t *testing.T) {
	var s speed
	at := time.Unix(0, 0)
	for i := range 100 {
		s.add(at.Add(time.Duration(i)*time.Second), reading{Done: int64(min(i, 10)), Total: 20, Count: int64(min(i, 10))})
		if i == 9 && (s.pace().perSecond != 1 || s.pace().left != 11*time.Second) {
			t.Errorf("%+v", s.pace())
		}
	}
	if s.pace() != (pace{}) {
		t.Errorf("stalled: %+v", s.pace())
	}
	if len(s.samples) > 70 {
		t.Errorf("%d samples are kept", len(s.samples))
	}
}

func TestLineFits(t *testing.T) {
	full := reading{What: "screening", Done: 420, Total: 1000, Count: 420, Unit: "screened",
		Parts: []figure{{Name: "failed", N: 3}, {Name: "waiting", N: 1200}}}
	now := pace{perSecond: 4.84, left: 2*time.Hour + 3*time.Minute}
	for width, want := range map[int]string{
		200: "screening  " + strings.Repeat("█", 16) + strings.Repeat("░", 24) + "   42 %  420 screened  4.8/s  2h03m left  3 failed  1,200 waiting",
		80:  "screening   42 %  420 screened  4.8/s  2h03m left  3 failed  1,200 waiting",
		60:  "screening   42 %  420 screened  4.8/s  2h03m left  3 failed",
		30:  "screening   42 %  420 screened",
		3:   "screening",
	} {
		if got := full.line(now, width, false); got != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", width, got, want)
		}
	}
	painted := reading{What: "x", Unit: "rows", Parts: []figure{{Name: "failed", N: 1, Paint: colours(true).red}, {Name: "gone", Paint: colours(true).red}}}
	if got, want := painted.line(pace{}, 80, true), "x  0 rows  \x1b[31m1 failed\x1b[0m  0 gone"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever is to be shown: no line is wider than its terminal, unless its
// first word is, and no bar longer than its frame.
func TestLineAlwaysFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := reading{What: "work", Done: rapid.Int64().Draw(t, "done"), Total: rapid.Int64().Draw(t, "total"), Count: rapid.Int64().Draw(t, "count"), Unit: "rows"}
		for range rapid.IntRange(0, 4).Draw(t, "parts") {
			r.Parts = append(r.Parts, figure{Name: "part", N: rapid.Int64().Draw(t, "n")})
		}
		width := rapid.IntRange(4, 200).Draw(t, "width")
		p := pace{perSecond: rapid.Float64Range(0, 1e12).Draw(t, "rate"), left: time.Duration(rapid.Int64Min(0).Draw(t, "left"))}
		line := r.line(p, width, false)
		if n := len([]rune(line)); n > width {
			t.Fatalf("%d columns of %d: %s", n, width, line)
		}
	})
}

func TestTexts(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 1234567: "1,234,567", -999: "-999"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for rate, want := range map[float64]string{0.05: "3.0/min", 0.5: "30.0/min", 1: "1.0/s", 9.96: "10.0/s", 12.4: "12/s", 45678: "45,678/s"} {
		if got := rateText(rate); got != want {
			t.Errorf("%v: %s, want %s", rate, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		time.Millisecond: "1s", 59*time.Second + 600*time.Millisecond: "1m00s", 125 * time.Second: "2m05s",
		time.Hour: "1h00m", 47*time.Hour + 59*time.Minute: "47h59m", 60 * time.Hour: "3 days",
	} {
		if got := spanText(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for size, want := range map[int64]string{0: "0 bytes", 1023: "1,023 bytes", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1 << 60: "1048576.0 TiB"} {
		if got := sizeText(size); got != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}
