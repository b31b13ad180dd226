package main

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"rescreen/apiclient/amlsim"
)

// doctorSite is an installation to look at: a NATS server that is set up, and the
// simulated API. A test breaks something and has a look.
type doctorSite struct {
	t    *testing.T
	nats *server.Server
	js   jetstream.JetStream
	api  *httptest.Server

	args    []string // beside those that the site gives
	environ []string
	bare    bool          // give no arguments but those
	edit    func(*doctor) // changes what looks
	conceal []concealed   // what differs from run to run, in the texts
}

// newDoctorSite starts NATS with the options and the simulator with its settings.
func newDoctorSite(t *testing.T, o *server.Options, sim amlsim.Config) *doctorSite {
	t.Helper()
	o.StoreDir = t.TempDir()
	s, err := startNATS(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	site := &doctorSite{t: t, nats: s}
	if o.Users == nil {
		site.js = dialJetStream(t, s.ClientURL())
		if _, err := setup(t.Context(), site.js, setupOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	site.api = httptest.NewServer(amlsim.New(sim))
	t.Cleanup(site.api.Close)
	site.hide(s.ClientURL(), "nats://NATS")
	site.hide(strings.TrimPrefix(site.api.URL, "http://"), "API")
	site.hide(s.Name(), "SERVER")
	site.hideAll(`of the \d+ subjects`, "of the N subjects")
	return site
}

type concealed struct {
	pattern *regexp.Regexp
	as      string
}

func (s *doctorSite) hide(text, as string) { s.hideAll(regexp.QuoteMeta(text), as) }

func (s *doctorSite) hideAll(pattern, as string) {
	s.conceal = append(s.conceal, concealed{regexp.MustCompile(pattern), as})
}

// look makes all checks, as rescreen doctor with the arguments would.
func (s *doctorSite) look(more ...string) []finding {
	s.t.Helper()
	d, _ := s.doctor(more...)
	return s.shown(d.examine(s.t.Context()))
}

// live makes them and runs a session.
func (s *doctorSite) live(more ...string) []finding {
	s.t.Helper()
	d, c := s.doctor(append(more, "--live")...)
	l, err := c.live(d)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.shown(l.examine(s.t.Context(), nil))
}

func (s *doctorSite) doctor(more ...string) (*doctor, *doctorCmd) {
	s.t.Helper()
	args := []string{"doctor"}
	if !s.bare {
		args = append(args, "--server", s.nats.ClientURL(), "--api-env", "local", "--api-issuer", s.api.URL+amlsim.RealmPath)
	}
	a := &app{now: time.Now, environ: s.environ, stdout: &strings.Builder{}, stderr: &strings.Builder{}, grammar: &grammar{}}
	selected, err := a.parse(append(append(args, s.args...), more...))
	if err != nil {
		s.t.Fatal(err)
	}
	c := selected.Selected().Target.Addr().Interface().(*doctorCmd)
	d := c.doctor(a)
	if s.edit != nil {
		s.edit(d)
	}
	return d, c
}

// shown are the findings with what differs from run to run concealed.
func (s *doctorSite) shown(found []finding) []finding {
	for i := range found {
		for _, c := range s.conceal {
			found[i].Found = c.pattern.ReplaceAllLiteralString(found[i].Found, c.as)
			found[i].Do = c.pattern.ReplaceAllLiteralString(found[i].Do, c.as)
		}
	}
	return found
}

// named returns the finding of a check.
func named(t *testing.T, found []finding, name string) finding {
	t.Helper()
	for _, f := range found {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("there is no check %s", name)
	return finding{}
}

// statuses are the statuses of all checks, those that are well left out.
func statuses(found []finding) map[string]status {
	out := map[string]status{}
	for _, f := range found {
		if f.Status != statusOK {
			out[f.Name] = f.Status
		}
	}
	return out
}
