package amlsim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"rescreen/apiclient/amlsim"
)

// everything is all that can be ordered but the report.
func everything() []string {
	return []string{
		"keyInformation.citizenship", "keyInformation.birthplace", "keyInformation.historicNames",
		"address.postal", "address.national", "address.historic", "address.numberOfResidents", "aml", "roles",
	}
}

// result is the document as far as the tests look.
type result struct {
	KeyInformation map[string]any
	Identity       *struct{}
	Address        map[string]any
	AML            *struct {
		Status                      string
		List                        []string
		PepResults, SanctionResults []struct {
			MatchIndicator        int
			Name, Source, Comment string
		}
	}
	Roles []map[string]any
}

func (c *caller) document(p person) (result, []byte) {
	c.t.Helper()
	got := c.get(c.session(p) + "/json")
	wantStatus(c.t, got, http.StatusOK)
	var r result
	c.decode(got, &r)
	return r, got.body
}

func testPerson(firstName, lastName, ssn string) person {
	return person{FirstName: firstName, LastName: lastName, SSN: ssn, DateOfBirth: "2007-01-01", Expands: everything()}
}

func TestDocumentedTestPeople(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	t.Run("Tomas Topstad", func(t *testing.T) {
		r, _ := c.document(testPerson("Tomas", "Topstad", "01010750160"))
		wantHome(t, r, true)
		if historic, _ := r.Address["historic"].([]any); len(historic) == 0 {
			t.Error("no historic address")
		}
		var indicators []int
		for _, h := range slices.Concat(r.AML.PepResults, r.AML.SanctionResults) {
			indicators = append(indicators, h.MatchIndicator)
		}
		slices.Sort(indicators)
		if r.AML.Status != "PEP_AND_SANCTION" || len(r.AML.PepResults) == 0 || len(r.AML.SanctionResults) == 0 || len(slices.Compact(indicators)) < 2 {
			t.Errorf("aml %+v, want hits of both kinds and different quality", r.AML)
		}
	})
	t.Run("Kari Klaven", func(t *testing.T) {
		r, _ := c.document(testPerson("Kari", "Klaven", "01010750241"))
		wantHome(t, r, true)
		if historic, _ := r.Address["historic"].([]any); len(historic) == 0 {
			t.Error("no historic address")
		}
		if r.AML == nil || r.AML.Status != "NONE" || len(r.AML.PepResults)+len(r.AML.SanctionResults) != 0 {
			t.Errorf("aml %+v, want an empty one", r.AML)
		}
	})
	t.Run("Kris Psa Granum", func(t *testing.T) {
		r, _ := c.document(testPerson("Kris Psa", "Granum", "01010750322"))
		wantHome(t, r, true)
		if len(r.AML.PepResults) < 3 || len(r.AML.SanctionResults) < 2 {
			t.Errorf("aml %+v, want a collection", r.AML)
		}
	})
	t.Run("Morten Holm", func(t *testing.T) {
		r, _ := c.document(testPerson("Morten", "Holm", "01010751388"))
		wantHome(t, r, false)
		if r.KeyInformation["citizenship"] == nil {
			t.Error("no key information")
		}
		if r.AML.Status != "PEP" || len(r.AML.PepResults) != 1 || !bytes.Contains([]byte(r.AML.PepResults[0].Comment), []byte("Expired")) {
			t.Errorf("aml %+v, want one expired PEP hit", r.AML)
		}
	})
	t.Run("Mia Holm", func(t *testing.T) {
		r, _ := c.document(testPerson("Mia", "Holm", "01010751469"))
		wantHome(t, r, true)
		if r.AML.Status != "SANCTION" || len(r.AML.SanctionResults) != 1 || r.AML.SanctionResults[0].Source != "UN_CONSOLIDATED" {
			t.Errorf("aml %+v, want one hit of the UN list", r.AML)
		}
	})
}

// wantHome checks that both addresses with residents are there, or neither.
func wantHome(t *testing.T, r result, want bool) {
	t.Helper()
	for _, kind := range []string{"postal", "national"} {
		address, _ := r.Address[kind].(map[string]any)
		if (address["numberOfResidents"] != nil) != want || (address != nil) != want {
			t.Errorf("%s address %v, want one: %v", kind, address, want)
		}
	}
	if r.Identity != nil {
		t.Error("identity is not null")
	}
}

// The documentation demands exact input.
func TestTestPeopleNeedExactInput(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{Mix: amlsim.Mix{Clear: 1}}))
	exact := testPerson("Mia", "Holm", "01010751469")
	born, number := exact, exact
	born.SSN, number.DateOfBirth = "", ""
	for _, p := range []person{exact, born, number} {
		if r, _ := c.document(p); r.AML.Status != "SANCTION" || r.KeyInformation["ssn"] != exact.SSN {
			t.Errorf("%+v is not recognised", p)
		}
	}
	name, day := exact, exact
	name.FirstName, day.DateOfBirth = "mia", "2007-01-02"
	for _, p := range []person{name, day} {
		if r, _ := c.document(p); r.AML.Status != "NONE" {
			t.Errorf("%+v is taken for the test person", p)
		}
	}
}

func TestSameQuerySameDocument(t *testing.T) {
	p := nobody()
	p.Expands = everything()
	_, first := newCaller(t, amlsim.New(amlsim.Config{Seed: 1})).document(p)
	c := newCaller(t, amlsim.New(amlsim.Config{Seed: 2}))
	for range 3 {
		if _, again := c.document(p); !bytes.Equal(first, again) {
			t.Fatalf("%s\nis not\n%s", again, first)
		}
	}
	p.FirstName += "a"
	if _, other := c.document(p); bytes.Equal(first, other) {
		t.Error("another person has the same document")
	}
}

// What is not ordered is absent, and what is does not depend on what else is.
func TestExpands(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{Plain: true}))
	p := testPerson("Tomas", "Topstad", "01010750160")
	full, _ := c.document(p)
	p.Expands = nil
	least, raw := c.document(p)
	if least.AML != nil || least.Address != nil || least.Roles != nil || len(least.KeyInformation) == 0 {
		t.Errorf("nothing was ordered: %s", raw)
	}
	for _, member := range []string{"citizenship", "birthplace", "historicNames"} {
		if _, there := least.KeyInformation[member]; there {
			t.Errorf("%s was not ordered: %s", member, raw)
		}
	}
	for _, tt := range []struct {
		expand string
		part   func(result) any
	}{
		{"keyInformation.citizenship", func(r result) any { return r.KeyInformation["citizenship"] }},
		{"keyInformation.birthplace", func(r result) any { return r.KeyInformation["birthplace"] }},
		{"keyInformation.historicNames", func(r result) any { return r.KeyInformation["historicNames"] }},
		{"address.historic", func(r result) any { return r.Address["historic"] }},
		{"aml", func(r result) any { return r.AML }},
		{"roles", func(r result) any { return r.Roles }},
	} {
		p.Expands = []string{tt.expand}
		r, raw := c.document(p)
		if !reflect.DeepEqual(tt.part(r), tt.part(full)) {
			t.Errorf("%s alone gives %s", tt.expand, raw)
		}
		r.KeyInformation = least.KeyInformation
		if (r.AML != nil) != (tt.expand == "aml") || (r.Roles != nil) != (tt.expand == "roles") || (r.Address != nil) != (tt.expand == "address.historic") {
			t.Errorf("%s gives more than ordered: %s", tt.expand, raw)
		}
	}
	p.Expands = []string{"address.postal"}
	if r, raw := c.document(p); r.Address["national"] != nil || r.Address["postal"].(map[string]any)["numberOfResidents"] != nil {
		t.Errorf("address.postal gives more than ordered: %s", raw)
	}
}

func TestMix(t *testing.T) {
	share := func(cfg amlsim.Config) (clear, hit, undetermined int) {
		c := newCaller(t, amlsim.New(cfg))
		for i := range 1000 {
			p := nobody()
			p.LastName = fmt.Sprintf("Testesen%d", i)
			r, _ := c.document(p)
			switch {
			case r.AML == nil || r.AML.Status == "UNKNOWN":
				undetermined++
			case r.AML.Status == "NONE":
				clear++
			default:
				hit++
			}
		}
		return clear, hit, undetermined
	}
	clear, hit, undetermined := share(amlsim.Config{})
	if clear < 860 || clear > 940 || hit < 30 || hit > 95 || undetermined < 15 || undetermined > 70 {
		t.Errorf("of 1000 people %d clear, %d hit, %d undetermined; want about 900, 60, 40", clear, hit, undetermined)
	}
	if clear, hit, undetermined = share(amlsim.Config{Mix: amlsim.Mix{Hit: 1, Undetermined: 3}}); clear != 0 || hit < 190 || hit > 310 {
		t.Errorf("of 1000 people %d clear, %d hit, %d undetermined; want none, 250, 750", clear, hit, undetermined)
	}
}

func TestRegistryAccess(t *testing.T) {
	for _, none := range []bool{false, true} {
		c := newCaller(t, amlsim.New(amlsim.Config{NoRegistryAccess: none}))
		var rights struct{ NationalRegistry struct{ Access bool } }
		c.decode(c.get("/access-rights"), &rights)
		r, raw := c.document(testPerson("Tomas", "Topstad", "01010750160"))
		if rights.NationalRegistry.Access == none || (r.Address["national"] == nil) != none || (r.KeyInformation["citizenship"] == nil) != none || r.Address["postal"] == nil {
			t.Errorf("no access %v: rights %+v, document %s", none, rights, raw)
		}
	}
}

func TestOFACNeedsTheScope(t *testing.T) {
	for _, scopes := range [][]string{{amlsim.ScopeBasic}, {amlsim.ScopeBasic, amlsim.ScopeOFAC}} {
		c := newCaller(t, amlsim.New(amlsim.Config{Scopes: scopes, Mix: amlsim.Mix{Hit: 1}}))
		hits := 0
		for i := range 100 {
			p := nobody()
			p.LastName = fmt.Sprintf("Testesen%d", i)
			r, raw := c.document(p)
			if slices.Contains(r.AML.List, "OFAC") != (len(scopes) == 2) {
				t.Fatalf("scopes %v: %s", scopes, raw)
			}
			for _, h := range r.AML.SanctionResults {
				if h.Source == "OFAC" {
					hits++
				}
			}
		}
		if (hits > 0) != (len(scopes) == 2) {
			t.Errorf("scopes %v: %d hits of OFAC", scopes, hits)
		}
	}
}

// A third of the documents hold what a reader that goes through float64 or
// escapes HTML would change, so that "byte for byte" can be tested.
func TestDocumentsHoldWhatReformattingBreaks(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{}))
	found := 0
	for i := range 60 {
		p := nobody()
		p.LastName = fmt.Sprintf("Testesen%d", i)
		_, raw := c.document(p)
		if !json.Valid(raw) {
			t.Fatalf("document %s", raw)
		}
		if bytes.Contains(raw, []byte("12345678901234567890")) && bytes.Contains(raw, []byte("0.930")) && bytes.Contains(raw, []byte("<none & sundry>")) {
			found++
		}
	}
	if found < 10 || found > 30 {
		t.Errorf("%d of 60 documents, want about 20", found)
	}
}

func TestGzip(t *testing.T) {
	c := newCaller(t, amlsim.New(amlsim.Config{Gzip: true}))
	_, plain := newCaller(t, amlsim.New(amlsim.Config{})).document(nobody())
	path := c.session(nobody()) + "/json"
	if got := c.get(path); !bytes.Equal(got.body, plain) || got.header.Get("Content-Encoding") != "" {
		t.Errorf("the transport did not unpack %q", got.body)
	}
	r := c.request(http.MethodGet, path, "")
	r.Header.Set("Accept-Encoding", "gzip")
	if got := c.send(r); got.header.Get("Content-Encoding") != "gzip" || !bytes.HasPrefix(got.body, []byte{0x1f, 0x8b}) {
		t.Errorf("answer %.20q is not packed", got.body)
	}
	r.Header.Set("Accept-Encoding", "identity")
	if got := c.send(r); !bytes.Equal(got.body, plain) {
		t.Errorf("answer %.20q is packed", got.body)
	}
}
