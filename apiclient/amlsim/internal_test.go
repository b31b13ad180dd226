package amlsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"pgregory.net/rapid"
)

func TestDelayText(t *testing.T) {
	for text, want := range map[string]Delay{
		"3s":                                     Fixed(3 * time.Second),
		"0s":                                     {},
		"median=20s,sigma=1.2,min=1s,max=1h0m0s": LogNormal(20*time.Second, 1.2, time.Second, time.Hour),
		"median=20s, max=1h":                     {Median: 20 * time.Second, Max: time.Hour},
	} {
		var got Delay
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "soon", "-1s", "median=x", "median=1s,median=2s", "mean=1s", "sigma=1", "median=1s,sigma=-1", "median=1s,sigma=NaN", "median=1s,min=2s,max=1s", "median=99999h"} {
		d := Fixed(time.Second)
		if err := d.UnmarshalText([]byte(text)); err == nil || d != Fixed(time.Second) {
			t.Errorf("%q: accepted or changed: %+v", text, d)
		}
	}
}

func TestDelayProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Int64Range(0, int64(longestDelay))
		d := Delay{
			Median: time.Duration(duration.Draw(t, "median")), Sigma: rapid.Float64Range(0, 10).Draw(t, "sigma"),
			Min: time.Duration(duration.Draw(t, "min")), Max: time.Duration(duration.Draw(t, "max")),
		}
		if d.Validate() != nil {
			return // not a delay
		}
		text, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Delay
		if err := back.UnmarshalText(text); err != nil || back != d {
			t.Fatalf("%s became %+v: %v", text, back, err)
		}
		drawn := d.draw(rapid.Uint64().Draw(t, "bits"))
		if drawn < d.Min || drawn > longestDelay || (d.Max > 0 && drawn > d.Max) {
			t.Fatalf("%s drew %v", text, drawn)
		}
	})
}

func TestLogNormalQuantiles(t *testing.T) {
	d := LogNormal(time.Minute, 1, 0, 0)
	var draws []time.Duration
	for i := range uint64(20_000) {
		draws = append(draws, d.draw(bits(i)))
	}
	slices.Sort(draws)
	for _, q := range []struct{ part, want float64 }{{0.1587, math.Exp(-1)}, {0.5, 1}, {0.8413, math.E}, {0.9772, math.Exp(2)}} {
		got := draws[int(q.part*float64(len(draws)))].Minutes()
		if math.Abs(got-q.want) > 0.06*q.want {
			t.Errorf("quantile %v is %.3f medians, want %.3f", q.part, got, q.want)
		}
	}
}

// arrivals draws times that do not fall.
func arrivals(t *rapid.T) []time.Duration {
	gaps := rapid.SliceOfN(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, int64(3*time.Second)), rapid.Int64Range(0, int64(90*time.Second))), 1, 200).Draw(t, "gaps")
	var times []time.Duration
	var at time.Duration
	for _, gap := range gaps {
		at += time.Duration(gap)
		times = append(times, at)
	}
	return times
}

// most is the highest number of events in a half-open window, counted by hand.
func most(times []time.Duration, window time.Duration) (high int) {
	for last := range times {
		n := 0
		for _, at := range times[:last+1] {
			if at > times[last]-window {
				n++
			}
		}
		high = max(high, n)
	}
	return high
}

func TestPeaksAgreeWithCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := arrivals(t)
		var p peaks
		for _, at := range times {
			p.add(at)
		}
		want := Peaks{Second: most(times, time.Second), TenSeconds: most(times, 10*time.Second), Minute: most(times, time.Minute)}
		if got := p.result(); got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	})
}

func TestPeaksSurviveAClockThatGoesBack(t *testing.T) {
	var p peaks
	for _, at := range []time.Duration{5 * time.Second, time.Second, 5 * time.Second, 6 * time.Second} {
		p.add(at)
	}
	if got := p.result(); got.Second != 3 {
		t.Errorf("%+v", got)
	}
}

// In every window w at most rate × w + burst calls pass, and who waits as told is let in.
func TestLimitLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 1000).Draw(t, "rate")
		burst := rapid.IntRange(1, 50).Draw(t, "burst")
		g := newGCRA(rate, burst)
		var passed []time.Duration
		for _, at := range arrivals(t) {
			wait := g.take(at)
			if wait < 0 {
				t.Fatalf("wait of %v", wait)
			}
			if wait > 0 {
				patient := g
				if again := patient.take(at + wait); again != 0 {
					t.Fatalf("told to wait %v, then %v more", wait, again)
				}
				continue
			}
			passed = append(passed, at)
		}
		for i, first := range passed {
			for j, last := range passed[i:] {
				if limit := rate*(last-first).Seconds() + float64(burst); float64(j+1) > limit+1e-6 {
					t.Fatalf("%d calls in %v, limit %v", j+1, last-first, limit)
				}
			}
		}
	})
}

func TestIDs(t *testing.T) {
	table := newTable(1, time.Unix(0, 0))
	seen := map[string]bool{}
	for i := range uint64(1000) {
		table.add(session{person: personKey(i)}, []byte("text"))
		id := table.id(i)
		if number, ok := table.find(id); !ok || number != i || seen[id] {
			t.Fatalf("%s found as %d, %v", id, number, ok)
		}
		seen[id] = true
		for _, wrong := range []string{strings.ToUpper(id), id + "0", id[:35], strings.ReplaceAll(id, "-", ""), table.id(i + 5000)} {
			if _, ok := table.find(wrong); ok && wrong != id {
				t.Fatalf("%s found", wrong)
			}
		}
	}
}

// A million sessions must fit; this measures a tenth of it.
func TestSessionsAreSmall(t *testing.T) {
	const sessions, most = 100_000, 220 // bytes each
	before := heap()
	s := New(Config{})
	for i := range sessions {
		q := query{firstName: "Attrapp", lastName: fmt.Sprintf("Testesen-Eksempelrud%d", i), dateOfBirth: "1990-01-31", ssn: "01010750160", ssnCountry: "NO", language: "nb"}
		ex := &exchange{query: q, person: q.key()}
		s.register(session{person: ex.person}, ex)
	}
	used := float64(heap()-before) / sessions
	runtime.KeepAlive(s)
	t.Logf("%.0f bytes per session", used)
	if used > most {
		t.Errorf("%.0f bytes per session, want at most %d", used, most)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func FuzzReadQuery(f *testing.F) {
	f.Add([]byte(`{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31","ssn":"01010750160","expands":["aml"]}`))
	f.Add([]byte(`{"firstName":"\u0000"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, r := readQuery(body, time.Now())
		if r != nil {
			if r.status != 400 && r.status != 422 {
				t.Fatalf("status %d", r.status)
			}
			return
		}
		packed := q.pack()
		if len(packed) > maxText {
			t.Fatalf("%d bytes", len(packed))
		}
		s := session{expands: q.expands}
		if q.report {
			s.flags = reportOrdered
		}
		if back := unpackQuery(s, packed); back != q {
			t.Fatalf("%+v became %+v", q, back)
		}
		sim := New(Config{Mix: Mix{Hit: 1}})
		if doc := encode(sim.document(&exchange{}, session{person: q.key()}, q)); !json.Valid(doc) || len(doc) < 10 {
			t.Fatalf("document %s", doc)
		}
	})
}

func TestLongTextMakesPages(t *testing.T) {
	keeper, err := newSigner(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for lines, pages := range map[int]int{0: 1, pdfLinesPerPage: 1, pdfLinesPerPage + 1: 2, 200: 5} {
		file, err := pdfDocument{title: "Long", lines: make([]pdfLine, lines), at: time.Now(), sign: keeper.sign}.encode()
		if err != nil {
			t.Fatal(err)
		}
		api.DisableConfigDir()
		got, err := api.PageCount(bytes.NewReader(file), nil)
		if err != nil || got != pages {
			t.Errorf("%d lines make %d pages, want %d: %v", lines, got, pages, err)
		}
	}
}

func TestWrapLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		width := rapid.IntRange(1, 40).Draw(t, "width")
		lines := wrap(text, width)
		squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if squeeze(strings.Join(lines, "")) != squeeze(string([]rune(text))) {
			t.Fatalf("%q became %q", text, lines)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width {
				t.Fatalf("line %q is wider than %d", line, width)
			}
		}
	})
}
