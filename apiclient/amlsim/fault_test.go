package amlsim_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pdfcpu/pdfcpu/pkg/api"

	"rescreen/apiclient/amlsim"
)

func TestLoadFaults(t *testing.T) {
	data, err := os.ReadFile("testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	faults, err := amlsim.LoadFaults(data)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[amlsim.ActionKind]bool{}
	for _, f := range faults {
		kinds[f.Do.Kind] = true
	}
	if len(kinds) != 18 {
		t.Errorf("%d kinds in the example, want all 18", len(kinds))
	}
	want := amlsim.Fault{
		Name: "maintenance window", Call: amlsim.CallAny, When: amlsim.When{From: 10 * time.Minute, Until: 11 * time.Minute},
		Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 503, RetryAfter: 30 * time.Second, Body: "<html>maintenance</html>"},
	}
	if faults[0] != want {
		t.Errorf("first fault %+v", faults[0])
	}
	if none, err := amlsim.LoadFaults(nil); err != nil || len(none) != 0 {
		t.Errorf("empty script: %v, %v", none, err)
	}
}

func TestLoadFaultsRefuses(t *testing.T) {
	for _, script := range []string{
		"faults: [{do: {kind: status, status: 500}, when: {nht: 1}}]",
		"falts: []",
		"faults: 7",
		"faults: [{call: create}]",
		"faults: [{call: destroy, do: {kind: reset}}]",
		"faults: [{do: {kind: explode}}]",
		"faults: [{do: {kind: reset, status: 500}}]",
		"faults: [{do: {kind: status}}]",
		"faults: [{do: {kind: status, status: 99}}]",
		"faults: [{do: {kind: status, status: 500, retry_after: -1s}}]",
		"faults: [{do: {kind: redirect, status: 200}}]",
		"faults: [{do: {kind: slow}}]",
		"faults: [{do: {kind: hang}}]",
		"faults: [{do: {kind: truncate, bytes: -1}}]",
		"faults: [{do: {kind: deep, depth: -1}}]",
		"faults: [{do: {kind: literal}}]",
		"faults: [{do: {kind: literal, literal: X, entity: soul}}]",
		"faults: [{do: {kind: fate, fate: sealed}}]",
		"faults: [{do: {kind: refuse, applied: true}}]",
		"faults: [{do: {kind: reset}, when: {nth: -1}}]",
		"faults: [{do: {kind: reset}, when: {nth: 1, every: 2}}]",
		"faults: [{do: {kind: reset}, when: {probability: 1.5}}]",
		"faults: [{do: {kind: reset}, when: {from: 2s, until: 1s}}]",
		"faults: [{do: {kind: reset}, when: {bucket: 1}}]",
		"faults: [{do: {kind: reset}, when: {of: 2, bucket: 2}}]",
		"faults: []\n---\nfaults: []",
	} {
		if faults, err := amlsim.LoadFaults([]byte(script)); err == nil {
			t.Errorf("%s: accepted as %+v", script, faults)
		}
	}
}

func FuzzLoadFaults(f *testing.F) {
	f.Add([]byte("faults: [{do: {kind: reset}, when: {nth: 1}}]"))
	f.Add([]byte("faults: [{name: x, call: create, do: {kind: status, status: 503, retry_after: 3s}}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		faults, err := amlsim.LoadFaults(data)
		if err == nil && (amlsim.Config{Faults: faults}).Validate() != nil {
			t.Errorf("accepted and then refused: %+v", faults)
		}
	})
}

// acted makes calls and returns the places, from 1, of those that got a 418.
func acted(t *testing.T, c *caller, calls int, request func(i int) *http.Request) (places []int) {
	t.Helper()
	for i := 1; i <= calls; i++ {
		if c.send(request(i)).status == http.StatusTeapot {
			places = append(places, i)
		}
	}
	return places
}

func teapot(call amlsim.Call, when amlsim.When) []amlsim.Fault {
	return []amlsim.Fault{{Name: "teapot", Call: call, When: when, Do: amlsim.Action{Kind: amlsim.ActStatus, Status: http.StatusTeapot}}}
}

func TestFaultSelectsByNumber(t *testing.T) {
	for _, tt := range []struct {
		when amlsim.When
		want []int
	}{
		{amlsim.When{}, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{amlsim.When{Times: 2}, []int{1, 2}},
		{amlsim.When{Nth: 3}, []int{3}},
		{amlsim.When{Every: 3}, []int{3, 6}},
		{amlsim.When{Every: 3, Times: 1}, []int{3}},
		{amlsim.When{Probability: 1}, []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{amlsim.When{Marker: "x"}, nil},
		{amlsim.When{Of: 1}, nil}, // a call about nobody
		{amlsim.When{SessionCall: 1}, nil},
	} {
		sim := amlsim.New(amlsim.Config{Faults: teapot(amlsim.CallAccessRights, tt.when)})
		c := newCaller(t, sim)
		got := acted(t, c, 8, func(int) *http.Request { return c.request(http.MethodGet, "/access-rights", "") })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v acted on calls %v, want %v", tt.when, got, tt.want)
		}
		if n := sim.Stats().Faults["teapot"]; n != len(tt.want) {
			t.Errorf("%+v: %d in the statistics, want %d", tt.when, n, len(tt.want))
		}
	}
}

func TestFaultSelectsByProbabilityAndSeed(t *testing.T) {
	places := func(seed uint64) []int {
		c := newCaller(t, amlsim.New(amlsim.Config{Seed: seed, Faults: teapot(amlsim.CallAccessRights, amlsim.When{Probability: 0.25})}))
		return acted(t, c, 400, func(int) *http.Request { return c.request(http.MethodGet, "/access-rights", "") })
	}
	first, again, other := places(1), places(1), places(2)
	if !slices.Equal(first, again) || slices.Equal(first, other) {
		t.Error("the seed does not decide")
	}
	if len(first) < 60 || len(first) > 140 {
		t.Errorf("%d of 400 calls, want about 100", len(first))
	}
}

func TestFaultSelectsByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{Faults: teapot("", amlsim.When{From: 3 * time.Second, Until: 5 * time.Second})}))
		got := acted(t, c, 7, func(i int) *http.Request {
			if i > 1 {
				time.Sleep(time.Second)
			}
			return c.request(http.MethodGet, "/access-rights", "")
		})
		if want := []int{4, 5}; !slices.Equal(got, want) {
			t.Errorf("acted on calls %v, want %v", got, want)
		}
	})
}

func TestFaultSelectsByPerson(t *testing.T) {
	marked, plain := nobody(), nobody()
	marked.LastName = "Test-UNLUCKY-esen"
	c := newCaller(t, amlsim.New(amlsim.Config{Faults: teapot(amlsim.CallSession, amlsim.When{Marker: "UNLUCKY", SessionCall: 2})}))
	unlucky, lucky := c.session(marked), c.session(plain)
	if got := acted(t, c, 4, func(int) *http.Request { return c.request(http.MethodGet, unlucky, "") }); !slices.Equal(got, []int{2}) {
		t.Errorf("marked person: calls %v, want the second", got)
	}
	if got := acted(t, c, 4, func(int) *http.Request { return c.request(http.MethodGet, lucky, "") }); got != nil {
		t.Errorf("other person: calls %v, want none", got)
	}

	buckets := map[string]int{}
	for bucket := range 4 {
		c := newCaller(t, amlsim.New(amlsim.Config{Faults: teapot(amlsim.CallCreate, amlsim.When{Of: 4, Bucket: bucket})}))
		for i := range 80 {
			p := nobody()
			p.LastName = fmt.Sprintf("Testesen%d", i)
			first, second := c.create(p).status, c.create(p).status
			if first != second {
				t.Fatal("the bucket changes between calls")
			}
			if first == http.StatusTeapot {
				buckets[p.LastName]++
			}
		}
	}
	if len(buckets) != 80 {
		t.Errorf("%d of 80 people are in a bucket", len(buckets))
	}
	for name, n := range buckets {
		if n != 1 {
			t.Errorf("%s is in %d buckets", name, n)
		}
	}
}

func TestFirstMatchingFaultActs(t *testing.T) {
	sim := amlsim.New(amlsim.Config{Faults: slices.Concat(
		teapot(amlsim.CallAccessRights, amlsim.When{Nth: 2}),
		[]amlsim.Fault{{Do: amlsim.Action{Kind: amlsim.ActStatus, Status: 503}}},
	)})
	c := &caller{t: t, http: &http.Client{Transport: sim.Transport()}, base: host}
	if got := acted(t, c, 3, func(int) *http.Request { return c.request(http.MethodGet, "/access-rights", "") }); !slices.Equal(got, []int{2}) {
		t.Errorf("calls %v, want the second", got)
	}
	if counts := sim.Stats().Faults; counts["teapot"] != 1 || counts["#2"] != 2 {
		t.Errorf("counts %v", counts)
	}
}

func TestFaultOfEveryCall(t *testing.T) {
	for _, call := range []amlsim.Call{amlsim.CallDiscovery, amlsim.CallToken, amlsim.CallCreate, amlsim.CallSession, amlsim.CallDocument, amlsim.CallReport, amlsim.CallAccessRights} {
		sim := amlsim.New(amlsim.Config{Faults: teapot(call, amlsim.When{})})
		c := &caller{t: t, http: &http.Client{Transport: sim.Transport()}, base: host}
		status := map[amlsim.Call]int{
			amlsim.CallDiscovery:    c.get(amlsim.RealmPath + "/.well-known/openid-configuration").status,
			amlsim.CallToken:        c.send(c.tokenRequest(nil)).status,
			amlsim.CallCreate:       c.create(nobody()).status,
			amlsim.CallSession:      c.get(sessions + "/x").status,
			amlsim.CallDocument:     c.get(sessions + "/x/json").status,
			amlsim.CallReport:       c.get(sessions + "/x/report/aml").status,
			amlsim.CallAccessRights: c.get("/access-rights").status,
		}
		for other, got := range status {
			if (got == http.StatusTeapot) != (other == call) {
				t.Errorf("fault of %s: %s got %d", call, other, got)
			}
		}
		if got := c.get("/stats").status; got != http.StatusOK {
			t.Errorf("statistics: status %d", got)
		}
	}
}

func TestSessionFaults(t *testing.T) {
	literal := func(entity, literal string) amlsim.Action {
		return amlsim.Action{Kind: amlsim.ActLiteral, Entity: entity, Literal: literal}
	}
	for _, tt := range []struct {
		do   amlsim.Action
		want state
	}{
		{literal("", "SOMETHING_NEW"), state{document: "SOMETHING_NEW", report: "SOMETHING_NEW"}},
		{literal("jsonData", "CANCELLED"), state{document: "CANCELLED", report: "READY"}},
		{literal("aml-report", "EXPIRED"), state{document: "READY", report: "EXPIRED"}},
		{literal("session", "FAILED"), state{document: "READY", report: "READY", whole: "FAILED"}},
		{amlsim.Action{Kind: amlsim.ActFate, Fate: amlsim.FateFail}, state{document: "FAILED", report: "FAILED", whole: "FAILED"}},
		{amlsim.Action{Kind: amlsim.ActFate, Fate: amlsim.FateReportNever}, state{document: "READY", report: "IN_PROGRESS"}},
		{amlsim.Action{Kind: amlsim.ActFate, Fate: amlsim.FateReportFail}, state{document: "READY", report: "FAILED"}},
		{amlsim.Action{Kind: amlsim.ActFate, Fate: amlsim.FateNever}, state{document: "IN_PROGRESS", report: "NOT_STARTED"}},
	} {
		for _, shape := range []amlsim.Shape{amlsim.ShapeFlat, amlsim.ShapeNested, amlsim.ShapeList} {
			sim := amlsim.New(amlsim.Config{Shape: shape, Links: amlsim.LinksNone, Plain: true, Faults: []amlsim.Fault{{Call: amlsim.CallSession, When: amlsim.When{Times: 1}, Do: tt.do}}})
			c := newCaller(t, sim)
			path := c.session(withReport())
			if got := c.state(path); got != tt.want {
				t.Errorf("%+v, %s: %+v, want %+v", tt.do, shape, got, tt.want)
			}
			// A literal is one answer's, a fate is the session's from then on.
			next := state{document: "READY", report: "READY"}
			if tt.do.Kind == amlsim.ActFate {
				next = tt.want
			}
			if got := c.state(path); got != next {
				t.Errorf("after %+v, %s: %+v, want %+v", tt.do, shape, got, next)
			}
		}
	}
}

func TestFateFromBirth(t *testing.T) {
	sim := amlsim.New(amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallCreate, When: amlsim.When{Nth: 2}, Do: amlsim.Action{Kind: amlsim.ActFate, Fate: amlsim.FateExpire}}}})
	c := newCaller(t, sim)
	wantStatus(t, c.get(c.session(nobody())+"/json"), http.StatusOK)
	wantStatus(t, c.get(c.session(nobody())+"/json"), http.StatusNotFound)
	wantStatus(t, c.get(c.session(nobody())+"/json"), http.StatusOK)
}

func TestRevokedToken(t *testing.T) {
	sim := amlsim.New(amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallSession, When: amlsim.When{Nth: 2}, Do: amlsim.Action{Kind: amlsim.ActRevoke}}}})
	c := newCaller(t, sim)
	path := c.session(nobody())
	wantStatus(t, c.get(path), http.StatusOK)
	wantStatus(t, c.get(path), http.StatusUnauthorized)
	wantStatus(t, c.get(path), http.StatusUnauthorized)
	c.authorize()
	wantStatus(t, c.get(path), http.StatusOK)
}

func TestUnsignedReport(t *testing.T) {
	sim := amlsim.New(amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallReport, Do: amlsim.Action{Kind: amlsim.ActUnsigned}}}})
	file := newCaller(t, sim).report(nobody())
	if strings.Contains(string(file), "/ByteRange") {
		t.Error("the report is signed")
	}
	if _, err := pdfcpu(t, file); !errors.Is(err, api.ErrNoSignatures) {
		t.Errorf("pdfcpu: %v, want no signatures", err)
	}
}
