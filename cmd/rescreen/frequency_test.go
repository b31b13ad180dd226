package main

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestParseFrequency(t *testing.T) {
	for _, c := range []struct {
		text      string
		perSecond float64
		printed   string
	}{
		{"5/s", 5, "5/s"},
		{"300/m", 5, "300/m"},
		{"0.2/s", 0.2, "0.2/s"},
		{"90/h", 0.025, "90/h"},
		{"5.0/s", 5, "5/s"},
		{"007/s", 7, "7/s"},
		{"100000/s", 100_000, "100000/s"},
		{"1/h", 1.0 / 3600, "1/h"},
	} {
		f, err := parseFrequency(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if math.Abs(f.PerSecond()-c.perSecond) > 1e-12 || f.String() != c.printed {
			t.Errorf("%q is %v/s and prints %q, want %v/s and %q", c.text, f.PerSecond(), f, c.perSecond, c.printed)
		}
	}
}

func TestParseFrequencyRefuses(t *testing.T) {
	for _, text := range []string{
		"", "5", "/s", "5/", "5/d", "5/sec", "5 /s", "5/ s", " 5/s", "-5/s", "+5/s", "0/s", "0.0/h", ".5/s", "5./s",
		"1e3/s", "0x10/s", "1_000/s", "1,5/s", "inf/s", "NaN/s", "5/s/s", "100001/s", "0.01/h", "1000000000000000000000000/s", "٥/s",
	} {
		if f, err := parseFrequency(text); err == nil {
			t.Errorf("%q is accepted as %v", text, f)
		}
	}
}

func TestFrequencyZeroValue(t *testing.T) {
	var f frequency
	if f.PerSecond() != 0 || f.String() != "" {
		t.Errorf("zero value: %v/s, %q", f.PerSecond(), f)
	}
}

// What parses prints back the same: a printed configuration is a configuration.
func checkFrequencyRoundTrip(t interface{ Fatalf(string, ...any) }, text string) {
	f, err := parseFrequency(text)
	if err != nil {
		return
	}
	back, err := parseFrequency(f.String())
	if err != nil || back != f {
		t.Fatalf("%q prints %q, which reads as %v, %v", text, f, back, err)
	}
	if p := f.PerSecond(); !(p >= minPerSecond && p <= maxPerSecond) {
		t.Fatalf("%q is %v per second", text, p)
	}
}

func FuzzFrequency(f *testing.F) {
	for _, seed := range []string{"5/s", "300/m", "0.2/s", "0.1/h", "99999.99999999999/s", "0.00001157407408/s", "359999999.99999999/h", "1e3/s", "5/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { checkFrequencyRoundTrip(t, text) })
}

func TestFrequencyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkFrequencyRoundTrip(t, rapid.StringMatching(`[0-9]{1,7}(\.[0-9]{1,10})?/[smh]`).Draw(t, "text"))
	})
}
