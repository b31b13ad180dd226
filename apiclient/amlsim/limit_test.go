package amlsim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rescreen/apiclient/amlsim"
)

func TestCreateLimit(t *testing.T) {
	for _, asDate := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sim := amlsim.New(amlsim.Config{CreateRate: 0.5, CreateBurst: 3, RetryAfterDate: asDate})
			c := newCaller(t, sim)
			for range 3 {
				wantStatus(t, c.create(nobody()), http.StatusCreated)
			}
			got := c.create(nobody())
			wantStatus(t, got, http.StatusTooManyRequests)
			wait, err := strconv.Atoi(got.header.Get("Retry-After"))
			if asDate {
				var until time.Time
				until, err = http.ParseTime(got.header.Get("Retry-After"))
				wait = int(time.Until(until).Seconds())
			}
			if err != nil || wait < 1 || wait > 2 {
				t.Fatalf("Retry-After %q", got.header.Get("Retry-After"))
			}
			wantStatus(t, c.get("/access-rights"), http.StatusOK) // another budget
			time.Sleep(time.Duration(wait) * time.Second)
			wantStatus(t, c.create(nobody()), http.StatusCreated) // as promised
			wantStatus(t, c.create(nobody()), http.StatusTooManyRequests)
			if st := sim.Stats(); st.Throttled != 2 || st.Sessions != 4 || st.Calls[amlsim.CallCreate].Status[429] != 2 {
				t.Errorf("statistics %+v", st)
			}
		})
	}
}

func TestRequestLimitCoversAllCallsButToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(t, amlsim.New(amlsim.Config{RequestRate: 1, RequestBurst: 4}))
		path := c.session(nobody())
		for _, p := range []string{path, path + "/json", "/access-rights"} {
			wantStatus(t, c.get(p), http.StatusOK)
		}
		wantStatus(t, c.get(path), http.StatusTooManyRequests)
		wantStatus(t, c.create(nobody()), http.StatusTooManyRequests)
		c.authorize()
		wantStatus(t, c.get("/stats"), http.StatusOK)
		time.Sleep(time.Second)
		wantStatus(t, c.get(path), http.StatusOK)
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := amlsim.New(amlsim.Config{})
		c := newCaller(t, sim)
		secret := person{FirstName: "Hemmelig", LastName: "Navnesen", DateOfBirth: "1991-01-31", SSN: "01010750160"}
		other := nobody()
		first := c.session(secret)
		c.session(secret)
		c.session(secret)
		last := c.session(other)
		for range 3 {
			c.get(first)
		}
		c.get(last)
		c.get(last + "/json")
		c.get(last + "/json")
		c.get(sessions + "/unknown")

		got := c.get("/stats")
		for _, word := range []string{secret.FirstName, secret.LastName, secret.DateOfBirth, secret.SSN} {
			if strings.Contains(string(got.body), word) {
				t.Errorf("%q in the statistics", word)
			}
		}
		var st amlsim.Stats
		c.decode(got, &st)
		want := func(name string, got, want any) {
			t.Helper()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		want("sessions", st.Sessions, 4)
		want("open", st.Open, 3)
		want("people", st.People, 2)
		want("sessions per person", st.SessionsPerPerson, map[int]int{1: 1, 3: 1})
		want("repeated people", st.RepeatedPeople, 1)
		want("repeated", st.Repeated[0].Sessions, 3)
		want("polls", st.Polls, amlsim.PollStats{Min: 0, Mean: 1, Max: 3, Histogram: map[int]int{0: 2, 1: 1, 3: 1}})
		want("creations", st.Calls[amlsim.CallCreate], amlsim.CallStats{Total: 4, Status: map[int]int{201: 4}})
		want("polls answered", st.Calls[amlsim.CallSession], amlsim.CallStats{Total: 5, Status: map[int]int{200: 4, 404: 1}})
		want("documents", st.Calls[amlsim.CallDocument], amlsim.CallStats{Total: 2, Status: map[int]int{200: 2}})
		want("peak of creations", st.PeakCreate, amlsim.Peaks{Second: 4, TenSeconds: 4, Minute: 4})
		want("peak of requests", st.PeakRequests, amlsim.Peaks{Second: 11, TenSeconds: 11, Minute: 11})
		if len(st.Repeated[0].Person) != 12 {
			t.Errorf("person %q", st.Repeated[0].Person)
		}

		// The salt is another in every process.
		again := amlsim.New(amlsim.Config{})
		d := newCaller(t, again)
		d.session(secret)
		d.session(secret)
		if again.Stats().Repeated[0].Person == st.Repeated[0].Person {
			t.Error("the same person has the same hash in another simulator")
		}
	})
}

func TestRepeatedIsBounded(t *testing.T) {
	sim := amlsim.New(amlsim.Config{})
	c := newCaller(t, sim)
	for i := range amlsim.MaxRepeated + 10 {
		p := nobody()
		p.LastName = fmt.Sprintf("Testesen%d", i)
		for range 2 + i%2 + 3*(i/100) { // 2 or 3, and beyond the hundredth 5 or 6
			c.session(p)
		}
	}
	st := sim.Stats()
	if st.RepeatedPeople != amlsim.MaxRepeated+10 || len(st.Repeated) != amlsim.MaxRepeated {
		t.Errorf("%d repeated people, %d listed", st.RepeatedPeople, len(st.Repeated))
	}
	listed := map[int]int{}
	for _, r := range st.Repeated {
		listed[r.Sessions]++
	}
	if want := map[int]int{6: 5, 5: 5, 3: 50, 2: 40}; !maps.Equal(listed, want) {
		t.Errorf("listed by sessions %v, want %v", listed, want)
	}
}

// Everything at once, for the race detector and the books.
func TestManyAtOnce(t *testing.T) {
	sim := amlsim.New(amlsim.Config{Faults: []amlsim.Fault{
		{Call: amlsim.CallSession, When: amlsim.When{Every: 7}, Do: amlsim.Action{Kind: amlsim.ActReset}},
		{Call: amlsim.CallDocument, When: amlsim.When{Every: 5}, Do: amlsim.Action{Kind: amlsim.ActRevoke}},
	}})
	const clients, each = 8, 40
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			c := &caller{t: t, http: &http.Client{Transport: sim.Transport()}, base: host}
			for i := range each {
				if err := c.tryAuthorize(); err != nil {
					t.Errorf("token: %v", err)
					return
				}
				p := withReport()
				p.LastName = fmt.Sprintf("Testesen%d", i)
				var created struct{ SessionID string }
				got, err := c.try(c.createRequest(p))
				if err != nil || json.Unmarshal(got.body, &created) != nil {
					t.Errorf("create: %v", err)
					return
				}
				for _, tail := range []string{"", "/json", "/report/aml", "/../../../../stats"} {
					_, _ = c.try(c.request(http.MethodGet, sessions+"/"+created.SessionID+tail, "")) // may well break
				}
				sim.Stats()
			}
		})
	}
	all.Wait()
	st := sim.Stats()
	tokens := st.Calls[amlsim.CallCreate].Status[http.StatusUnauthorized] // revoked by a neighbour in between
	if st.Sessions+tokens != clients*each || st.Calls[amlsim.CallSession].Broken != clients*each/7 {
		t.Errorf("%+v", st)
	}
	for call, c := range st.Calls {
		n := c.Broken
		for _, answers := range c.Status {
			n += answers
		}
		if n != c.Total {
			t.Errorf("%s: %d calls, %d ends", call, c.Total, n)
		}
	}
}
