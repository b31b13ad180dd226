package main

import (
	"errors"
	"path"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// resolver answers kong's question for the value of a flag that is not on the
// command line: from the environment, else from the file, else nothing (the
// default). Kong's own readers do it the other way round, and kong's
// environment is the process's, out of a test's reach.
//
// A value that cannot be read becomes a problem, not an error, so that all of
// them can be reported together; the flag keeps its default meanwhile.
type resolver struct {
	app      *app
	model    *kong.Application
	loaded   bool
	file     configFile
	origins  map[*kong.Flag]origin
	problems problems
}

// Validate implements kong.Resolver.
func (r *resolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (r *resolver) Resolve(ctx *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	if !r.loaded {
		r.loaded = true
		r.load(ctx)
	}
	s, ok := settingOf(f)
	if !ok {
		return nil, nil
	}
	value, from, ok := r.find(s)
	if !ok {
		return nil, nil
	}
	if err := readable(f, value); err != nil {
		r.problems.addf("--"+f.Name, "%v (%s)", err, from)
		return nil, nil
	}
	r.origins[f] = from
	return value, nil
}

func (r *resolver) find(s setting) (string, origin, bool) {
	if v, ok := r.app.getenv(s.env); ok {
		return v, origin{fromEnv, s.env}, true
	}
	if v, ok := r.file.values[s.key]; ok && s.key != "" {
		return v.text, origin{fromFile, v.place}, true
	}
	return "", origin{}, false
}

// load reads the configuration file, if there is one.
func (r *resolver) load(ctx *kong.Context) {
	name, _ := r.app.getenv("RESCREEN_CONFIG")
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "config" {
			name = ctx.Value(p).String()
		}
	}
	if name == "" {
		return
	}
	file, found := readConfigFile(name, allSettings(r.model))
	r.file = file
	r.problems = append(r.problems, found...)
}

// readable tries a value on a copy of the flag's field.
func readable(f *kong.Flag, value string) error {
	trial := reflect.New(f.Target.Type()).Elem()
	if err := f.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), trial); err != nil {
		if inner := errors.Unwrap(err); inner != nil { // without the flag's name, which the caller adds
			return inner
		}
		return err
	}
	if f.Enum != "" && !f.EnumMap()[value] {
		return errors.New(quoted(value) + " is none of " + strings.Join(f.EnumSlice(), ", "))
	}
	return nil
}

// effective lists the settings of the selected command with their values.
func (r *resolver) effective(ctx *kong.Context) []effective {
	given := map[*kong.Flag]bool{}
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag] = true
		}
	}
	var out []effective
	for _, f := range ctx.Flags() {
		s, ok := settingOf(f)
		if !ok {
			continue
		}
		from, resolved := r.origins[f]
		switch {
		case given[f]:
			from = origin{source: fromFlag}
		case !resolved:
			from = origin{source: fromDefault}
		}
		out = append(out, effective{setting: s, origin: from, value: f.Target.Interface()})
	}
	return out
}

// warnings lists RESCREEN_ variables that nothing reads. They are no errors:
// Kubernetes sets such variables for a service named rescreen.
func (r *resolver) warnings() problems {
	var known []string
	for _, s := range allSettings(r.model) {
		known = append(known, s.env)
	}
	var out problems
	for _, kv := range r.app.environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "RESCREEN_") || contains(known, name) || setByKubernetes(name) {
			continue
		}
		out.addf(name, "no setting of this name%s", didYouMean(nearest(name, known)))
	}
	return out
}

// setByKubernetes knows the variables that stand for a service's address.
func setByKubernetes(name string) bool {
	for _, pattern := range []string{"*_SERVICE_HOST", "*_SERVICE_PORT", "*_SERVICE_PORT_*", "*_PORT", "*_PORT_*"} {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
