package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// frequency is how often something may happen, written as people say it: 5/s,
// 300/m, 0.2/s, 90/h. It keeps the unit it was written in.
type frequency struct {
	number float64
	unit   byte // 's', 'm' or 'h'
}

// The bounds keep the time between two events a sane duration: below one a day
// the setting is a slip of the finger, above 100,000/s a limiter means nothing.
const (
	maxPerSecond = 100_000
	minPerSecond = 1.0 / (24 * 60 * 60)
)

// perSecond is n times a second.
func perSecond(n float64) frequency { return frequency{number: n, unit: 's'} }

// maxFrequencyText bounds the text: no rate that a person means is longer.
const maxFrequencyText = 20

var errFrequency = errors.New("is not a rate: write a number, a slash and s, m or h, like 5/s, 300/m or 0.2/s")

// parseFrequency reads a rate.
func parseFrequency(text string) (frequency, error) {
	number, unit, found := strings.Cut(text, "/")
	if !found || len(text) > maxFrequencyText || len(unit) != 1 || !plainDecimal(number) {
		return frequency{}, fmt.Errorf("%q %w", text, errFrequency)
	}
	n, err := strconv.ParseFloat(number, 64)
	f := frequency{number: n, unit: unit[0]}
	if err != nil || f.unitTime() == 0 {
		return frequency{}, fmt.Errorf("%q %w", text, errFrequency)
	}
	if perSecond := f.PerSecond(); perSecond < minPerSecond || perSecond > maxPerSecond {
		return frequency{}, fmt.Errorf("%q is out of range: rates lie between one a day and %d/s", text, maxPerSecond)
	}
	return f, nil
}

// plainDecimal accepts digits with at most one point between them; ParseFloat
// alone would also take "1e3", "0x1p-2", "inf" and "1_000".
func plainDecimal(s string) bool {
	whole, fraction, point := strings.Cut(s, ".")
	return digits(whole) && (!point || digits(fraction))
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (f frequency) unitTime() time.Duration {
	switch f.unit {
	case 's':
		return time.Second
	case 'm':
		return time.Minute
	case 'h':
		return time.Hour
	}
	return 0
}

// PerSecond is the rate in events per second; 0 for the zero value.
func (f frequency) PerSecond() float64 {
	if f.unitTime() == 0 {
		return 0
	}
	return f.number / f.unitTime().Seconds()
}

// String prints the rate as parseFrequency reads it.
func (f frequency) String() string {
	if f.unitTime() == 0 {
		return ""
	}
	return strconv.FormatFloat(f.number, 'f', -1, 64) + "/" + string(f.unit)
}

// MarshalText implements encoding.TextMarshaler.
func (f frequency) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *frequency) UnmarshalText(text []byte) error {
	parsed, err := parseFrequency(string(text))
	if err != nil {
		return err
	}
	*f = parsed
	return nil
}
