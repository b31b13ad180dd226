package apiclient_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/apiclient"
	"rescreen/apiclient/amlsim"
	"rescreen/apiclient/personal"
)

// simulated returns a simulator and a client of it, without a network.
func simulated(t *testing.T, cfg amlsim.Config, change ...func(*apiclient.Config)) (*amlsim.Simulator, *apiclient.Client) {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sim := amlsim.New(cfg)
	settings := apiclient.Config{
		Env: apiclient.EnvLocal, ClientID: amlsim.DefaultClientID, ClientSecret: amlsim.DefaultClientSecret,
		Transport: sim.Transport(),
	}
	for _, c := range change {
		c(&settings)
	}
	c, err := apiclient.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return sim, c
}

// bubble runs f under simulated time. Time there begins in 2000, before the
// test people are born.
func bubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)))
		f(t)
	})
}

// person is one of the test people of the test environment.
func person(first, last, ssn string) apiclient.Query {
	return apiclient.Query{
		FirstName: personal.Text(first), LastName: personal.Text(last), SSN: personal.Text(ssn), DateOfBirth: "2007-01-01",
		Language: "nb", Expands: []string{"keyInformation.citizenship", "address.postal", "address.national", "aml", "roles"}, Report: true,
	}
}

var tomas = person("Tomas", "Topstad", "01010750160")

// collect runs one session to its end, one call after the other.
func collect(ctx context.Context, c *apiclient.Client, q apiclient.Query) (apiclient.View, apiclient.Report, error) {
	id, err := c.CreateSession(ctx, nil, q)
	if err != nil {
		return apiclient.View{}, apiclient.Report{}, err
	}
	ref := apiclient.Ref{Country: q.Country, ID: id}
	var s apiclient.Session
	for {
		if s, err = c.Session(ctx, nil, ref); err != nil {
			return apiclient.View{}, apiclient.Report{}, err
		}
		if s.Document.State() == apiclient.EntityReady && s.Report.State() == apiclient.EntityReady {
			break
		}
		if s.Failed() || s.Document.State() == apiclient.EntityFailed {
			return apiclient.View{}, apiclient.Report{}, errors.New("session failed")
		}
		time.Sleep(5 * time.Second)
	}
	doc, err := c.Document(ctx, nil, ref, s.Document.Link)
	if err != nil {
		return apiclient.View{}, apiclient.Report{}, err
	}
	v, err := c.View(doc)
	if err != nil {
		return v, apiclient.Report{}, err
	}
	r, err := c.Report(ctx, nil, ref, s.Report.Link)
	return v, r, err
}

func TestEveryShapeAndLink(t *testing.T) {
	for _, shape := range []amlsim.Shape{amlsim.ShapeFlat, amlsim.ShapeNested, amlsim.ShapeList, amlsim.ShapeMixed} {
		for _, links := range []amlsim.Links{amlsim.LinksRelative, amlsim.LinksPath, amlsim.LinksAbsolute, amlsim.LinksNone} {
			for _, gzip := range []bool{false, true} {
				t.Run(fmt.Sprint(shape, " ", links, " gzip ", gzip), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						_, c := simulated(t, amlsim.Config{
							Shape: shape, Links: links, Gzip: gzip, BasePath: "/aml",
							ReadyAfter: amlsim.Fixed(7 * time.Second), ReportAfter: amlsim.Fixed(9 * time.Second),
						})
						sessions := 1
						if shape == amlsim.ShapeMixed {
							sessions = 6 // a shape is drawn for each
						}
						for range sessions {
							v, r, err := collect(t.Context(), c, tomas)
							if err != nil {
								t.Fatal(err)
							}
							if !v.Screening().Hit() || r.Signature != apiclient.SignatureValid {
								t.Errorf("%+v, %s (%s)", v.Screening(), r.Signature, r.Detail)
							}
						}
					})
				})
			}
		}
	}
}

func TestTestPeople(t *testing.T) {
	for _, tc := range []struct {
		q         apiclient.Query
		hit       bool
		pep, sanc bool
	}{
		{tomas, true, true, true},
		{person("Kari", "Klaven", "01010750241"), false, false, false},
		{person("Kris Psa", "Granum", "01010750322"), true, true, true},
		{person("Morten", "Holm", "01010751388"), true, true, false},
		{person("Mia", "Holm", "01010751469"), true, false, true},
	} {
		bubble(t, func(t *testing.T) {
			_, c := simulated(t, amlsim.Config{})
			v, _, err := collect(t.Context(), c, tc.q)
			if err != nil {
				t.Fatal(err)
			}
			s := v.Screening()
			if !s.Determined || s.Hit() != tc.hit || s.PEPHits == nil || s.SanctionHits == nil ||
				(*s.PEPHits > 0) != tc.pep || (*s.SanctionHits > 0) != tc.sanc || len(s.Lists) == 0 {
				t.Errorf("%s: %+v", tc.q.SSN.Reveal(), s)
			}
			if v.KeyInformation == nil || v.KeyInformation.SSN == nil || *v.KeyInformation.SSN != tc.q.SSN {
				t.Error("key information is of somebody else")
			}
		})
	}
}

func TestForeignLinksAreNotFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, c := simulated(t, amlsim.Config{Links: amlsim.LinksForeign, Shape: amlsim.ShapeNested})
		_, _, err := collect(t.Context(), c, tomas)
		if kind, _ := apiclient.KindOf(err); kind != apiclient.Misconfigured {
			t.Error(err)
		}
	})
}

func TestTooEarlyAndTooLate(t *testing.T) {
	for _, status := range []int{202, 409, 425} {
		for _, gone := range []int{404, 410} {
			bubble(t, func(t *testing.T) {
				_, c := simulated(t, amlsim.Config{
					NotReadyStatus: status, GoneStatus: gone, ReadyAfter: amlsim.Fixed(time.Minute), ReportAfter: amlsim.Fixed(time.Minute),
				})
				id, err := c.CreateSession(t.Context(), nil, tomas)
				if err != nil {
					t.Fatal(err)
				}
				ref := apiclient.Ref{ID: id}
				for _, want := range []apiclient.Kind{apiclient.NotReady, 0, apiclient.Gone} {
					_, derr := c.Document(t.Context(), nil, ref, "")
					_, rerr := c.Report(t.Context(), nil, ref, "")
					for _, err := range []error{derr, rerr} {
						if kind, _ := apiclient.KindOf(err); kind != want {
							t.Errorf("%d/%d: %v, want kind %v", status, gone, err, want)
						}
					}
					time.Sleep(2*time.Minute + time.Second)
					if want == 0 {
						time.Sleep(2 * time.Hour)
					}
				}
				_, err = c.Session(t.Context(), nil, apiclient.Ref{ID: "00000000-0000-0000-0000-000000000000"})
				if kind, _ := apiclient.KindOf(err); kind != apiclient.Gone {
					t.Errorf("a session nobody made: %v", err)
				}
			})
		}
	}
}

func TestALongSessionOutlivesManyTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sim, c := simulated(t, amlsim.Config{
			ReadyAfter: amlsim.Fixed(time.Hour), Latency: amlsim.Fixed(200 * time.Millisecond),
			Faults: []amlsim.Fault{{Name: "revoke", Call: amlsim.CallSession,
				When: amlsim.When{Every: 100}, Do: amlsim.Action{Kind: amlsim.ActRevoke}}},
		})
		if _, _, err := collect(t.Context(), c, tomas); err != nil {
			t.Fatal(err)
		}
		stats := sim.Stats()
		revoked := stats.Faults["revoke"]
		if stats.Calls[amlsim.CallSession].Status[401] != revoked || revoked == 0 {
			t.Errorf("%d tokens revoked, sessions answered %v", revoked, stats.Calls[amlsim.CallSession].Status)
		}
		if n := stats.Calls[amlsim.CallToken].Total; n > 3600/270+1+revoked {
			t.Errorf("%d token requests", n)
		}
	})
}

func TestThrottledByTheSimulator(t *testing.T) {
	for _, date := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			_, c := simulated(t, amlsim.Config{CreateRate: 0.1, CreateBurst: 1, RetryAfterDate: date})
			if _, err := c.CreateSession(t.Context(), nil, tomas); err != nil {
				t.Fatal(err)
			}
			_, err := c.CreateSession(t.Context(), nil, tomas)
			var e *apiclient.Error
			if !errors.As(err, &e) || e.Kind != apiclient.Throttled || e.RetryAfter <= 0 || e.RetryAfter > 11*time.Second {
				t.Fatalf("%v", err)
			}
			time.Sleep(e.RetryAfter)
			if _, err := c.CreateSession(t.Context(), nil, tomas); err != nil {
				t.Errorf("after %s: %v", e.RetryAfter, err)
			}
		})
	}
}

// What went wrong, what the client says, and whether there is a session.
func TestFaultsOfACreation(t *testing.T) {
	for _, tc := range []struct {
		do      amlsim.Action
		want    apiclient.Kind
		created int
	}{
		{amlsim.Action{Kind: amlsim.ActRefuse}, apiclient.NotSent, 0},
		{amlsim.Action{Kind: amlsim.ActReset}, apiclient.Unknown, 0},
		{amlsim.Action{Kind: amlsim.ActReset, Applied: true}, apiclient.Unknown, 1},
		{amlsim.Action{Kind: amlsim.ActLoseAnswer}, apiclient.Unknown, 1},
		{amlsim.Action{Kind: amlsim.ActTruncate, Bytes: 5}, apiclient.Unknown, 1},
		{amlsim.Action{Kind: amlsim.ActGarbage}, apiclient.Unknown, 1},
		{amlsim.Action{Kind: amlsim.ActHTML}, apiclient.Unknown, 1},
		{amlsim.Action{Kind: amlsim.ActHang, Wait: time.Minute}, apiclient.Unknown, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 500}, apiclient.Unknown, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 500, Applied: true}, apiclient.Unknown, 1},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 503}, apiclient.Unknown, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 503, RetryAfter: 3 * time.Second}, apiclient.Throttled, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 400}, apiclient.Refused, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 403}, apiclient.Denied, 0},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 404}, apiclient.Misconfigured, 0},
		{amlsim.Action{Kind: amlsim.ActRedirect, Status: 302, Location: "/elsewhere"}, apiclient.Unknown, 0},
	} {
		t.Run(fmt.Sprint(tc.do.Kind, " ", tc.do.Status, " applied ", tc.do.Applied), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sim, c := simulated(t, amlsim.Config{Faults: []amlsim.Fault{
					{Call: amlsim.CallCreate, Do: tc.do, When: amlsim.When{Times: 1}},
				}})
				_, err := c.CreateSession(t.Context(), nil, tomas)
				if kind, _ := apiclient.KindOf(err); kind != tc.want {
					t.Errorf("%v, want %v", err, tc.want)
				}
				synctest.Wait()
				if n := sim.Stats().Sessions; n != tc.created {
					t.Errorf("%d sessions, want %d", n, tc.created)
				}
				if _, _, err := collect(t.Context(), c, tomas); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestFaultsOfAFetch(t *testing.T) {
	for _, tc := range []struct {
		do   amlsim.Action
		want apiclient.Kind
	}{
		{amlsim.Action{Kind: amlsim.ActRefuse}, apiclient.Unavailable},
		{amlsim.Action{Kind: amlsim.ActReset}, apiclient.Unavailable},
		{amlsim.Action{Kind: amlsim.ActLoseAnswer}, apiclient.Unavailable},
		{amlsim.Action{Kind: amlsim.ActHang, Wait: time.Minute}, apiclient.Unavailable},
		{amlsim.Action{Kind: amlsim.ActSlow, BytesPerSecond: 1}, apiclient.Unavailable},
		{amlsim.Action{Kind: amlsim.ActTruncate, Bytes: 100}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActWrongLength, Bytes: -3}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActWrongLength, Bytes: 3}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActGarbage}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActHTML}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActHuge}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActGzipBomb}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActDeep}, apiclient.Invalid},
		{amlsim.Action{Kind: amlsim.ActStatus, Status: 502}, apiclient.Unavailable},
		{amlsim.Action{Kind: amlsim.ActRedirect, Status: 302, Location: "https://elsewhere.example.test/"}, apiclient.Misconfigured},
	} {
		t.Run(fmt.Sprint(tc.do.Kind, " ", tc.do.Bytes, tc.do.Status), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				_, c := simulated(t, amlsim.Config{Faults: []amlsim.Fault{
					{Call: amlsim.CallDocument, Do: tc.do, When: amlsim.When{Times: 1}},
					{Call: amlsim.CallReport, Do: tc.do, When: amlsim.When{Times: 1}},
				}})
				id, err := c.CreateSession(t.Context(), nil, tomas)
				if err != nil {
					t.Fatal(err)
				}
				ref := apiclient.Ref{ID: id}
				_, derr := c.Document(t.Context(), nil, ref, "")
				_, rerr := c.Report(t.Context(), nil, ref, "")
				for _, err := range []error{derr, rerr} {
					if kind, _ := apiclient.KindOf(err); kind != tc.want {
						t.Errorf("%v, want %v", err, tc.want)
					}
				}
				if _, err := c.Document(t.Context(), nil, ref, ""); err != nil {
					t.Errorf("afterwards: %v", err)
				}
				if _, err := c.Report(t.Context(), nil, ref, ""); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestSessionsThatGoWrong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, c := simulated(t, amlsim.Config{Fates: amlsim.Fates{Fail: 1}, ReadyAfter: amlsim.Fixed(time.Minute)})
		if _, _, err := collect(t.Context(), c, tomas); err == nil {
			t.Error("a failed session passes")
		}
	})
	bubble(t, func(t *testing.T) {
		_, c := simulated(t, amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallSession, When: amlsim.When{Times: 3},
			Do: amlsim.Action{Kind: amlsim.ActLiteral, Literal: "ALMOST_THERE"}}}})
		if _, _, err := collect(t.Context(), c, tomas); err != nil {
			t.Errorf("unknown literals: %v", err)
		}
	})
	bubble(t, func(t *testing.T) {
		_, c := simulated(t, amlsim.Config{Faults: []amlsim.Fault{{Call: amlsim.CallReport, Do: amlsim.Action{Kind: amlsim.ActUnsigned}}}})
		_, r, err := collect(t.Context(), c, tomas)
		if err != nil || r.Signature != apiclient.SignatureAbsent || len(r.Bytes) == 0 {
			t.Errorf("%s, %v", r.Signature, err)
		}
	})
}

func TestAccessRightsOfTheSimulator(t *testing.T) {
	for _, without := range []bool{false, true} {
		_, c := simulated(t, amlsim.Config{NoRegistryAccess: without})
		raw, granted, err := c.AccessRights(context.Background())
		if err != nil || granted == nil || *granted == without {
			t.Errorf("%s, %v", raw, err)
		}
	}
}

func TestMissingScopes(t *testing.T) {
	_, c := simulated(t, amlsim.Config{Scopes: []string{amlsim.ScopeBasic}, StrictScopes: true})
	_, err := c.CreateSession(context.Background(), nil, tomas)
	if kind, _ := apiclient.KindOf(err); kind != apiclient.Denied {
		t.Errorf("a scope that is refused: %v", err)
	}
	_, c = simulated(t, amlsim.Config{Scopes: []string{amlsim.ScopeBasic}})
	if _, err := c.CreateSession(context.Background(), nil, tomas); err != nil {
		t.Errorf("a scope that is left out: %v", err)
	}
}
