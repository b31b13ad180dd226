package amlsim

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Delay is a span of time that is either fixed or drawn from a log-normal
// distribution, the usual shape of answer times: most are near the median and a
// few take very long. The zero value is no delay.
//
// As text it is a duration ("3s") or a list ("median=20s,sigma=1.2,min=1s,max=1h").
type Delay struct {
	// Median is the delay itself if Sigma is 0, else the median of the distribution.
	Median time.Duration `yaml:"median"`
	// Sigma is the standard deviation of the logarithm: with 1, one draw in six
	// is longer than 2.7 medians and one in forty longer than 7.4.
	Sigma float64 `yaml:"sigma"`
	// Min and Max bound what is drawn. Max 0 is no upper bound but a year.
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
}

// Fixed returns the delay that is always d.
func Fixed(d time.Duration) Delay { return Delay{Median: d} }

// LogNormal returns a drawn delay; see the fields of [Delay].
func LogNormal(median time.Duration, sigma float64, lowest, highest time.Duration) Delay {
	return Delay{Median: median, Sigma: sigma, Min: lowest, Max: highest}
}

// longestDelay bounds draws so that adding one to a time never overflows.
const longestDelay = 365 * 24 * time.Hour

// Validate says what is wrong with the delay.
func (d Delay) Validate() error {
	switch {
	case d.Median < 0 || d.Min < 0 || d.Max < 0:
		return errors.New("delay below zero")
	case d.Sigma < 0 || d.Sigma > 10 || math.IsNaN(d.Sigma):
		return errors.New("delay sigma outside 0 to 10")
	case d.Sigma > 0 && d.Median == 0:
		return errors.New("delay with sigma needs a median above zero")
	case d.Max > 0 && d.Min > d.Max:
		return errors.New("delay min above max")
	case d.Median > longestDelay || d.Max > longestDelay || d.Min > longestDelay:
		return errors.New("delay beyond a year")
	}
	return nil
}

// draw returns the delay that belongs to the random bits.
func (d Delay) draw(bits uint64) time.Duration {
	drawn := float64(d.Median)
	if d.Sigma > 0 {
		drawn *= math.Exp(d.Sigma * normal(bits))
	}
	limit := d.Max
	if limit == 0 {
		limit = longestDelay
	}
	if drawn >= float64(limit) {
		return limit
	}
	return max(time.Duration(drawn), d.Min)
}

// normal turns random bits into a draw of the standard normal distribution.
func normal(bits uint64) float64 {
	// (0,1): the end points would give infinities.
	p := (float64(bits>>11) + 0.5) / (1 << 53)
	return math.Sqrt2 * math.Erfinv(2*p-1)
}

// String returns the text form.
func (d Delay) String() string {
	if d.Sigma == 0 && d.Min == 0 && d.Max == 0 {
		return d.Median.String()
	}
	parts := []string{"median=" + d.Median.String()}
	if d.Sigma > 0 {
		parts = append(parts, "sigma="+strconv.FormatFloat(d.Sigma, 'g', -1, 64))
	}
	if d.Min > 0 {
		parts = append(parts, "min="+d.Min.String())
	}
	if d.Max > 0 {
		parts = append(parts, "max="+d.Max.String())
	}
	return strings.Join(parts, ",")
}

// MarshalText returns the text form, so that a Delay can be a flag or a setting.
func (d Delay) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form. It refuses unknown and repeated parts.
func (d *Delay) UnmarshalText(text []byte) error {
	s := string(text)
	var read Delay
	if !strings.Contains(s, "=") {
		v, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("delay: %w", err)
		}
		read.Median = v
	} else if err := read.parseParts(s); err != nil {
		return err
	}
	if err := read.Validate(); err != nil {
		return err
	}
	*d = read
	return nil
}

func (d *Delay) parseParts(s string) error {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if seen[name] {
			return fmt.Errorf("delay: %s given twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case "median":
			d.Median, err = time.ParseDuration(value)
		case "sigma":
			d.Sigma, err = strconv.ParseFloat(value, 64)
		case "min":
			d.Min, err = time.ParseDuration(value)
		case "max":
			d.Max, err = time.ParseDuration(value)
		default:
			return fmt.Errorf("delay: unknown part %q", name)
		}
		if err != nil {
			return fmt.Errorf("delay: %s: %w", name, err)
		}
	}
	return nil
}
