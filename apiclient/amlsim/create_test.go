package amlsim_test

import (
	"net/http"
	"strings"
	"testing"

	"rescreen/apiclient/amlsim"
)

func TestCreateValidation(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	for _, tt := range []struct {
		name, body string
		status     int
		field      string
	}{
		{"least", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31"}`, 201, ""},
		{"number only", `{"firstName":"A","lastName":"B","ssn":"01010750160"}`, 201, ""},
		{"unknown members", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31","matchMode":"fuzzy","x":[1]}`, 201, ""},
		{"old country name", `{"firstName":"A","lastName":"B","ssn":"6101901234","countryOfSsn":"dk"}`, 201, ""},
		{"Swedish with hyphen", `{"firstName":"A","lastName":"B","ssn":"900131-1234","country":"SE"}`, 201, ""},
		{"Swedish with plus", `{"firstName":"A","lastName":"B","ssn":"900131+1234","country":"SE"}`, 422, "ssn"},
		{"Finnish", `{"firstName":"A","lastName":"B","ssn":"310190-900X","country":"FI"}`, 201, ""},
		{"Finnish, new sign", `{"firstName":"A","lastName":"B","ssn":"310190Y900X","country":"FI"}`, 201, ""},
		{"language in capitals", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31","language":"NN"}`, 201, ""},
		{"leap day", `{"firstName":"A","lastName":"B","dateOfBirth":"2000-02-29"}`, 201, ""},
		{"no body", ``, 400, ""},
		{"no JSON", `<xml/>`, 400, ""},
		{"two values", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31"} {}`, 400, ""},
		{"wrong type", `{"firstName":1,"lastName":"B","dateOfBirth":"1990-01-31"}`, 400, ""},
		{"list", `[]`, 400, ""},
		{"no first name", `{"lastName":"B","dateOfBirth":"1990-01-31"}`, 422, "firstName"},
		{"blank last name", `{"firstName":"A","lastName":"  ","dateOfBirth":"1990-01-31"}`, 422, "lastName"},
		{"NUL", `{"firstName":"A\u0000","lastName":"B","dateOfBirth":"1990-01-31"}`, 422, "firstName"},
		{"long", `{"firstName":"` + strings.Repeat("A", 1001) + `","lastName":"B","dateOfBirth":"1990-01-31"}`, 422, "firstName"},
		{"neither birth nor number", `{"firstName":"A","lastName":"B"}`, 422, "dateOfBirth"},
		{"other date format", `{"firstName":"A","lastName":"B","dateOfBirth":"19900131"}`, 422, "dateOfBirth"},
		{"no such day", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-02-30"}`, 422, "dateOfBirth"},
		{"unborn", `{"firstName":"A","lastName":"B","dateOfBirth":"2999-01-01"}`, 422, "dateOfBirth"},
		{"short number", `{"firstName":"A","lastName":"B","ssn":"0101075016"}`, 422, "ssn"},
		{"number of letters", `{"firstName":"A","lastName":"B","ssn":"0101075016x"}`, 422, "ssn"},
		{"other country", `{"firstName":"A","lastName":"B","ssn":"01010750160","country":"DE"}`, 422, "country"},
		{"other language", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31","language":"se"}`, 422, "language"},
		{"unknown element", `{"firstName":"A","lastName":"B","dateOfBirth":"1990-01-31","expands":["aml","shoeSize"]}`, 422, "expands"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := c.send(c.request(http.MethodPost, sessions, tt.body))
			wantStatus(t, got, tt.status)
			if tt.status == http.StatusCreated {
				return
			}
			var body struct {
				Status         int
				Message, Field string
			}
			c.decode(got, &body)
			if body.Status != tt.status || body.Message == "" || body.Field != tt.field {
				t.Errorf("error body %s, want field %q", got.body, tt.field)
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		wantStatus(t, c.send(c.request(http.MethodPost, sessions, strings.Repeat(" ", 1<<20+1))), http.StatusRequestEntityTooLarge)
	})
}

// An API repeats in its error what it was given; clients must be able to test
// that they keep it to themselves.
func TestRefusalRepeatsTheNumber(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	p := nobody()
	p.SSN = "9999999999"
	got := c.create(p)
	wantStatus(t, got, http.StatusUnprocessableEntity)
	if !strings.Contains(string(got.body), p.SSN) {
		t.Errorf("error %s does not repeat the number", got.body)
	}
}

func TestSessionsOfCountsByTheVeryWords(t *testing.T) {
	sim := amlsim.New(amlsim.Config{})
	c := newCaller(t, sim)
	p := nobody()
	c.session(p)
	c.session(p)
	p.Expands = nil // what is ordered makes no other person
	c.session(p)
	if n := sim.SessionsOf(p.FirstName, p.LastName, p.DateOfBirth, p.SSN); n != 3 {
		t.Errorf("%d sessions, want 3", n)
	}
	for _, other := range [][4]string{
		{p.FirstName, p.LastName, "", ""},
		{p.FirstName + p.LastName[:1], p.LastName[1:], p.DateOfBirth, p.SSN},
		{p.FirstName, p.LastName, p.SSN, p.DateOfBirth},
	} {
		if n := sim.SessionsOf(other[0], other[1], other[2], other[3]); n != 0 {
			t.Errorf("%d sessions of somebody else", n)
		}
	}
}

func TestBrokenConfigurationAnswers500(t *testing.T) {
	sim := amlsim.New(amlsim.Config{Shape: "round"})
	c := &caller{t: t, http: &http.Client{Transport: sim.Transport()}, base: host}
	got := c.get("/access-rights")
	wantStatus(t, got, http.StatusInternalServerError)
	if !strings.Contains(string(got.body), "round") {
		t.Errorf("answer %s does not name the problem", got.body)
	}
}

func TestConfigValidate(t *testing.T) {
	for name, cfg := range map[string]amlsim.Config{
		"delay":        {ReadyAfter: amlsim.Fixed(-1)},
		"lifetime":     {Lifetime: -1},
		"token life":   {TokenLife: 1},
		"mix":          {Mix: amlsim.Mix{Clear: -1, Hit: 2}},
		"fates":        {Fates: amlsim.Fates{Fail: 0.6, Vanish: 0.6}},
		"negative":     {Fates: amlsim.Fates{Fail: -0.1}},
		"rate":         {CreateRate: -1},
		"slow rate":    {RequestRate: 1e-9},
		"burst":        {CreateBurst: -1},
		"links":        {Links: "chain"},
		"not ready":    {NotReadyStatus: 500},
		"gone":         {GoneStatus: 500},
		"public URL":   {PublicURL: "example.invalid"},
		"base path":    {BasePath: "aml"},
		"faults":       {Faults: []amlsim.Fault{{Do: amlsim.Action{Kind: "explode"}}}},
		"countries":    {Countries: make([]string, 300)},
		"refuse after": {Faults: []amlsim.Fault{{Do: amlsim.Action{Kind: amlsim.ActRefuse, Applied: true}}}},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := (amlsim.Config{}).Validate(); err != nil {
		t.Errorf("zero value: %v", err)
	}
}
