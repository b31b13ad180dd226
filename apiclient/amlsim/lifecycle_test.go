package amlsim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/apiclient/amlsim"
)

// state is a session information in any of its shapes, read as a client would.
type state struct{ document, report, documentLink, reportLink, whole string }

func (c *caller) state(path string) state {
	c.t.Helper()
	got := c.get(path)
	wantStatus(c.t, got, http.StatusOK)
	var info map[string]any
	c.decode(got, &info)
	var st state
	st.whole, _ = info["status"].(string)
	read := func(name string, v any) {
		status, link := "", ""
		switch v := v.(type) {
		case string:
			status = v
		case map[string]any:
			status, _ = v["status"].(string)
			link, _ = v["href"].(string)
			if l, ok := v["link"].(string); ok {
				link = l
			}
		}
		switch name {
		case "jsonData":
			st.document, st.documentLink = status, link
		case "aml-report":
			st.report, st.reportLink = status, link
		}
	}
	for name, v := range info {
		read(name, v)
	}
	results, _ := info["results"].([]any)
	for _, r := range results {
		item, _ := r.(map[string]any)
		name, _ := item["name"].(string)
		read(name, item)
	}
	return st
}

// withReport is a person whose report is ordered.
func withReport() person {
	p := nobody()
	p.Expands = append(p.Expands, "links.reports.aml")
	return p
}

func TestLifecycle(t *testing.T) {
	for _, shape := range []amlsim.Shape{amlsim.ShapeFlat, amlsim.ShapeNested, amlsim.ShapeList} {
		t.Run(string(shape), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(t, amlsim.New(amlsim.Config{
					ReadyAfter: amlsim.Fixed(8 * time.Second), ReportAfter: amlsim.Fixed(4 * time.Second),
					Lifetime: time.Minute, Shape: shape, TokenLife: time.Hour,
				}))
				path := c.session(withReport())
				start := time.Now()
				for _, step := range []struct {
					at                           time.Duration
					document, report             string
					session, fetch, reportStatus int
				}{
					{0, "NOT_STARTED", "NOT_STARTED", 200, 409, 409},
					{time.Second, "IN_PROGRESS", "NOT_STARTED", 200, 409, 409},
					{8*time.Second - 1, "IN_PROGRESS", "NOT_STARTED", 200, 409, 409},
					{8 * time.Second, "READY", "IN_PROGRESS", 200, 200, 409},
					{12 * time.Second, "READY", "READY", 200, 200, 200},
					{68*time.Second - 1, "READY", "READY", 200, 200, 200},
					{68 * time.Second, "READY", "READY", 200, 404, 200},
					{72 * time.Second, "", "", 404, 404, 404},
				} {
					time.Sleep(step.at - time.Since(start))
					wantStatus(t, c.get(path), step.session)
					wantStatus(t, c.get(path+"/json"), step.fetch)
					wantStatus(t, c.get(path+"/report/aml"), step.reportStatus)
					if step.session != http.StatusOK {
						continue
					}
					if st := c.state(path); st.document != step.document || st.report != step.report {
						t.Errorf("after %v: %+v, want %s and %s", step.at, st, step.document, step.report)
					}
				}
			})
		})
	}
}

func TestConfiguredStatuses(t *testing.T) {
	for _, early := range []int{202, 404, 409, 425} {
		for _, late := range []int{404, 410} {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(t, amlsim.New(amlsim.Config{ReadyAfter: amlsim.Fixed(time.Second), Lifetime: time.Second, NotReadyStatus: early, GoneStatus: late}))
				path := c.session(withReport())
				wantStatus(t, c.get(path+"/json"), early)
				wantStatus(t, c.get(path+"/report/aml"), early)
				time.Sleep(2 * time.Second)
				wantStatus(t, c.get(path+"/json"), late)
				wantStatus(t, c.get(path+"/report/aml"), late)
				wantStatus(t, c.get(path), late)
			})
		}
	}
}

func TestFates(t *testing.T) {
	const ready = 10 * time.Second
	for _, tt := range []struct {
		fate  amlsim.Fates
		check func(t *testing.T, c *caller, path string)
	}{
		{amlsim.Fates{Fail: 1}, func(t *testing.T, c *caller, path string) {
			if st := c.state(path); st.document == "FAILED" {
				t.Error("failed at once")
			}
			time.Sleep(ready)
			if st := c.state(path); st.document != "FAILED" || st.report != "FAILED" || st.whole != "FAILED" {
				t.Errorf("%+v", st)
			}
			wantStatus(t, c.get(path+"/json"), http.StatusConflict)
		}},
		{amlsim.Fates{Expire: 1}, func(t *testing.T, c *caller, path string) {
			time.Sleep(ready)
			if st := c.state(path); st.document != "READY" {
				t.Errorf("%+v", st)
			}
			wantStatus(t, c.get(path+"/json"), http.StatusNotFound)
		}},
		{amlsim.Fates{Vanish: 1}, func(t *testing.T, c *caller, path string) {
			wantStatus(t, c.get(path), http.StatusOK)
			time.Sleep(ready)
			wantStatus(t, c.get(path), http.StatusNotFound)
		}},
		{amlsim.Fates{Never: 1}, func(t *testing.T, c *caller, path string) {
			time.Sleep(1000 * time.Hour)
			c.authorize()
			if st := c.state(path); st.document != "IN_PROGRESS" || st.report != "NOT_STARTED" {
				t.Errorf("%+v", st)
			}
		}},
		{amlsim.Fates{ReportNever: 1}, func(t *testing.T, c *caller, path string) {
			time.Sleep(ready)
			wantStatus(t, c.get(path+"/json"), http.StatusOK)
			time.Sleep(1000 * time.Hour)
			c.authorize()
			if st := c.state(path); st.report != "IN_PROGRESS" {
				t.Errorf("%+v", st)
			}
			wantStatus(t, c.get(path+"/json"), http.StatusNotFound)
		}},
		{amlsim.Fates{ReportFail: 1}, func(t *testing.T, c *caller, path string) {
			time.Sleep(ready)
			if st := c.state(path); st.document != "READY" || st.report != "FAILED" || st.whole != "" {
				t.Errorf("%+v", st)
			}
			wantStatus(t, c.get(path+"/json"), http.StatusOK)
		}},
	} {
		t.Run(fmt.Sprintf("%+v", tt.fate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCaller(t, amlsim.New(amlsim.Config{ReadyAfter: amlsim.Fixed(ready), Fates: tt.fate}))
				tt.check(t, c, c.session(withReport()))
			})
		})
	}
}

// The fate belongs to the session: a person's next one has another chance.
func TestFateIsDrawnForEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{Fates: amlsim.Fates{Fail: 0.5}}))
		failed := 0
		const n = 200
		for range n {
			if c.state(c.session(nobody())).document == "FAILED" {
				failed++
			}
		}
		if failed < n/4 || failed > 3*n/4 {
			t.Errorf("%d of %d sessions failed, want about half", failed, n)
		}
	})
}

func TestDelaysBelongToSeedAndSession(t *testing.T) {
	readyTimes := func(seed uint64) (times [5]time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			c := newCaller(t, amlsim.New(amlsim.Config{Seed: seed, ReadyAfter: amlsim.LogNormal(time.Minute, 1, 0, 0)}))
			for i := range times {
				path, start := c.session(nobody()), time.Now()
				for c.state(path).document != "READY" {
					time.Sleep(time.Second)
					c.authorize()
				}
				times[i] = time.Since(start)
			}
		})
		return times
	}
	first, again, other := readyTimes(1), readyTimes(1), readyTimes(2)
	if first != again {
		t.Errorf("the same seed gave %v and %v", first, again)
	}
	if first == other {
		t.Error("another seed gave the same times")
	}
	if first[0] == first[1] && first[1] == first[2] {
		t.Error("every session of a person takes as long")
	}
}

func TestLinks(t *testing.T) {
	for _, links := range []amlsim.Links{amlsim.LinksRelative, amlsim.LinksPath, amlsim.LinksAbsolute, amlsim.LinksNone, amlsim.LinksForeign} {
		for _, shape := range []amlsim.Shape{amlsim.ShapeNested, amlsim.ShapeList} {
			c := newCaller(t, amlsim.New(amlsim.Config{Links: links, Shape: shape, BasePath: "/aml"}))
			got := c.send(c.request(http.MethodPost, "/aml"+sessions, `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31","expands":["links.reports.aml"]}`))
			path := got.header.Get("Location")
			st := c.state(path)
			for tail, link := range map[string]string{"/json": st.documentLink, "/report/aml": st.reportLink} {
				if links == amlsim.LinksNone {
					if link != "" {
						t.Errorf("none: link %s", link)
					}
					continue
				}
				base, err := url.Parse(path)
				if err != nil {
					t.Fatal(err)
				}
				resolved, err := base.Parse(link)
				if err != nil {
					t.Fatal(err)
				}
				foreign := resolved.Host != base.Host
				if foreign != (links == amlsim.LinksForeign) || resolved.Path != base.Path+tail {
					t.Errorf("%s: %s resolves to %s", links, link, resolved)
				}
			}
		}
	}
}

func TestMixedShapesAndUnknownMembers(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{Shape: amlsim.ShapeMixed}))
	flat, nested, list, extra, unordered := 0, 0, 0, 0, 0
	for range 200 {
		var info map[string]any
		c.decode(c.get(c.session(nobody())), &info)
		switch {
		case info["results"] != nil:
			list++
		case info["sessionId"] != nil:
			nested++
		default:
			flat++
		}
		if info["x-trace"] != nil {
			extra++
		}
		if info["aml-report"] != nil {
			unordered++
		}
	}
	if min(flat, nested, list) < 40 || extra == 0 || extra == 200 || unordered == 0 {
		t.Errorf("flat %d, nested %d, list %d, with unknown members %d, with unordered report %d", flat, nested, list, extra, unordered)
	}
}

func TestPlainShowsOnlyWhatIsKnown(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{Plain: true}))
	for i := range 50 {
		p := nobody()
		p.LastName = fmt.Sprintf("Testesen%d", i)
		path := c.session(p)
		var info, doc map[string]any
		c.decode(c.get(path), &info)
		c.decode(c.get(path+"/json"), &doc)
		if len(info) != 2 || doc["x-dataQuality"] != nil {
			t.Fatalf("session %v, document %v", info, doc)
		}
	}
}

// A simulator that was started anew does not know the sessions of its former life.
func TestRestartForgetsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newCaller(t, amlsim.New(amlsim.Config{})).session(nobody())
		time.Sleep(time.Second)
		c := newCaller(t, amlsim.New(amlsim.Config{}))
		c.session(nobody())
		wantStatus(t, c.get(path), http.StatusNotFound)
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{Latency: amlsim.Fixed(3 * time.Second)}))
		start := time.Now()
		wantStatus(t, c.get("/access-rights"), http.StatusOK)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want 3s", took)
		}
	})
}
