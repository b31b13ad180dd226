package main

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// setting is a flag that can also be given by an environment variable and by
// a key of the configuration file. Every flag is one, unless it is tagged
// `flag:"only"`: those say what one call is to do, not how the program is set up.
//
// More tags: `environ` names a variable that is not RESCREEN_…, `key` a key
// that is not the flag's name, `secret` hides the value, `file:"never"` keeps
// a setting out of the file.
type setting struct {
	flag   *kong.Flag
	key    string // in the file; "" when it cannot stand there
	env    string
	secret bool
}

// settingOf describes a flag; false when it is no setting.
func settingOf(f *kong.Flag) (setting, bool) {
	if f.Name == "help" || f.Tag.Get("flag") == "only" {
		return setting{}, false
	}
	s := setting{flag: f, key: f.Name, secret: f.Tag.Has("secret")}
	if key := f.Tag.Get("key"); key != "" {
		s.key = key
	}
	s.env = "RESCREEN_" + strings.ToUpper(strings.ReplaceAll(s.key, "-", "_"))
	if env := f.Tag.Get("environ"); env != "" {
		s.env = env
	}
	if f.Tag.Get("file") == "never" {
		s.key = ""
	}
	return s, true
}

// allSettings lists the settings of all commands, each once: where commands
// call it differently, with the shorter flag.
func allSettings(model *kong.Application) []setting {
	var out []setting
	places := map[string]int{} // by variable
	_ = kong.Visit(model, func(v kong.Visitable, next kong.Next) error {
		f, isFlag := v.(*kong.Flag)
		if !isFlag {
			return next(nil)
		}
		s, ok := settingOf(f)
		place, seen := places[s.env]
		switch {
		case !ok:
		case !seen:
			places[s.env] = len(out)
			out = append(out, s)
		case len(f.Name) < len(out[place].flag.Name):
			out[place] = s
		}
		return next(nil)
	})
	return out
}

// source is the kind of place a value comes from, strongest first.
type source string

const (
	fromFlag    source = "flag"
	fromEnv     source = "env"
	fromFile    source = "file"
	fromDefault source = "default"
)

// origin is where the value of a setting comes from.
type origin struct {
	source source
	place  string // "RESCREEN_SLOTS", "rescreen.yaml:12"; "" for flag and default
}

func (o origin) String() string { return strings.TrimSpace(string(o.source) + " " + o.place) }

// effective is a setting with the value the program works with.
type effective struct {
	setting
	origin origin
	value  any
}

// redacted stands for a secret that is set.
const redacted = "[redacted]"

// text is the value as it would be written in the file, secrets hidden.
func (e effective) text() string {
	t := valueText(e.value)
	switch {
	case t == "":
		return ""
	case e.secret:
		return redacted
	case e.flag.Tag.Has("url"):
		return redactURLs(t)
	}
	return t
}

// valueText prints a value so that reading it again gives the same value.
func valueText(value any) string {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() { // an optional setting that is not given
		return ""
	}
	switch v := value.(type) {
	case time.Duration:
		return durationText(v)
	case []string:
		return strings.Join(v, " ")
	case encoding.TextMarshaler:
		b, err := v.MarshalText()
		if err != nil {
			return ""
		}
		return string(b)
	}
	return fmt.Sprint(value)
}

// durationText is Duration.String without the zero units at its end: 24h, not
// 24h0m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
