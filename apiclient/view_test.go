package apiclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const wholeDocument = `{
  "keyInformation": { "name": "Tomas Topstad", "firstName": "Tomas", "lastName": "Topstad",
    "dateOfBirth": "2007-01-01", "ssn": "01010750160", "gender": "Male", "citizenship": ["NO", "SE"], "new": {} },
  "identity": { "fullName": "Tomas Topstad", "originator": "CN=x", "serialNumber": "9578" },
  "address": {
    "postal":   { "address": "Testveien 1", "postalcode": "0101", "city": "OSLO", "country": "NO",
                  "numberOfResidents": { "residents": 3, "houseType": "Apartment" } },
    "national": { "address": "Testveien 1", "personStatus": "RESIDENT", "addressStatus": "NEW_LITERAL", "numberOfResidents": 2 },
    "historic": [ { "city": "BERGEN" }, null, 7 ] },
  "aml": { "status": "PEP_AND_SANCTION", "statusMessage": null, "list": ["OFAC", "PEP_AC", 7],
    "pepResults":      [ { "matchIndicator": 500, "nameMatchValue": 1.0, "name": "Tomas Topstad", "source": "PEP_Edge" } ],
    "sanctionResults": [ { "matchIndicator": 325, "name": "T. Topstad", "source": "EU_GLOBAL" }, { "x": 1 } ] },
  "roles": [ { "role": "MANAGER" } ]
}`

func TestViewOfAWholeDocument(t *testing.T) {
	v, err := DefaultProfile().ViewDocument([]byte(wholeDocument))
	if err != nil {
		t.Fatal(err)
	}
	if v.KeyInformation.Name.Reveal() != "Tomas Topstad" || len(v.KeyInformation.Citizenship) != 2 {
		t.Errorf("key information %+v", v.KeyInformation)
	}
	if v.Identity.Originator.Reveal() != "CN=x" || v.Identity.SSN != nil {
		t.Errorf("identity %+v", v.Identity)
	}
	if v.Address.Postal.City.Reveal() != "OSLO" || *v.Address.Postal.NumberOfResidents != 3 ||
		*v.Address.National.NumberOfResidents != 2 || v.Address.National.AddressStatus.Reveal() != "NEW_LITERAL" ||
		len(v.Address.Historic) != 1 {
		t.Errorf("address %+v", v.Address)
	}
	if len(v.AML.PEP) != 1 || len(v.AML.Sanctions) != 2 || *v.AML.PEP[0].MatchIndicator != 500 ||
		*v.AML.PEP[0].NameMatchValue != 1 || *v.AML.PEP[0].Source != "PEP_Edge" || v.AML.Sanctions[1].Name != nil {
		t.Errorf("aml %+v", v.AML)
	}
	if len(v.Roles) != 1 || v.Roles[0].Reveal() != `{ "role": "MANAGER" }` {
		t.Errorf("roles: %d", len(v.Roles))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(verb, v) + fmt.Sprintf(verb, *v.KeyInformation.Name) + fmt.Sprintf(verb, v.Roles)
		if strings.Contains(got, "Topstad") || strings.Contains(got, "01010750160") || strings.Contains(got, "MANAGER") {
			t.Errorf("%s shows a person: %s", verb, got)
		}
	}
}

func TestViewOfWhatIsMissing(t *testing.T) {
	for _, body := range []string{
		`{}`,
		`{"keyInformation":null,"identity":null,"address":null,"aml":null,"roles":null}`,
		`{"keyInformation":7,"identity":"x","address":[],"aml":"NONE","roles":{}}`,
	} {
		v, err := DefaultProfile().ViewDocument([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if v.KeyInformation != nil || v.Identity != nil || v.Address != nil || v.AML != nil || v.Roles != nil {
			t.Errorf("%s: %+v", body, v)
		}
		if s := v.Screening(); s.Determined || s.Hit() || s.Clear() || s.PEPHits != nil || s.SanctionHits != nil {
			t.Errorf("%s: %+v", body, s)
		}
	}
	for _, body := range []string{``, `null`, `[]`, `<html>`, `{"aml":`, strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)} {
		if _, err := DefaultProfile().ViewDocument([]byte(body)); err == nil {
			t.Errorf("%.20s is a document", body)
		}
	}
}

func TestScreening(t *testing.T) {
	const hit = `{"name":"x"}`
	for _, tc := range []struct {
		name, aml string
		outcome   string // hit, clear, undetermined
		counts    string // pep/sanctions, - for "not told"
	}{
		{"hits in both", `{"status":"PEP_AND_SANCTION","pepResults":[` + hit + `],"sanctionResults":[` + hit + `,` + hit + `]}`, "hit", "1/2"},
		{"a hit, the other list missing", `{"status":"PEP","pepResults":[` + hit + `]}`, "hit", "1/-"},
		{"a hit, the other list unreadable", `{"status":"PEP","pepResults":[` + hit + `],"sanctionResults":"x"}`, "hit", "1/-"},
		{"a hit beside a null", `{"pepResults":[null,` + hit + `]}`, "hit", "1/-"},
		{"a hit under NONE", `{"status":"NONE","pepResults":[` + hit + `],"sanctionResults":[]}`, "hit", "1/0"},
		{"a hit under a new status", `{"status":"MAYBE","sanctionResults":[` + hit + `]}`, "hit", "-/1"},
		{"a hit beside an error", `{"pepResults":[` + hit + `],"error":"x"}`, "hit", "1/-"},

		{"NONE", `{"status":"NONE"}`, "clear", "0/0"},
		{"NONE in small letters", `{"status":"none"}`, "clear", "0/0"},
		{"NONE and empty lists", `{"status":"NONE","pepResults":[],"sanctionResults":[],"list":["OFAC"]}`, "clear", "0/0"},
		{"NONE and null lists", `{"status":"NONE","pepResults":null,"sanctionResults":null}`, "clear", "0/0"},
		{"empty lists without a status", `{"pepResults":[],"sanctionResults":[]}`, "clear", "0/0"},
		{"empty lists and a null status", `{"status":null,"pepResults":[],"sanctionResults":[]}`, "clear", "0/0"},
		{"NONE and a harmless message", `{"status":"NONE","statusMessage":"no matches"}`, "clear", "0/0"},
		{"NONE and no errors", `{"status":"NONE","error":null,"errors":[]}`, "clear", "0/0"},

		{"empty object", `{}`, "undetermined", "-/-"},
		{"null", `null`, "undetermined", "-/-"},
		{"list", `[]`, "undetermined", "-/-"},
		{"text", `"NONE"`, "undetermined", "-/-"},
		{"one empty list, the other missing", `{"pepResults":[]}`, "undetermined", "0/-"},
		{"status UNKNOWN", `{"status":"UNKNOWN","pepResults":[],"sanctionResults":[]}`, "undetermined", "0/0"},
		{"a new status", `{"status":"PARTIAL","pepResults":[],"sanctionResults":[]}`, "undetermined", "0/0"},
		{"a status of another type", `{"status":0,"pepResults":[],"sanctionResults":[]}`, "undetermined", "0/0"},
		{"an empty status", `{"status":"","pepResults":[],"sanctionResults":[]}`, "undetermined", "0/0"},
		{"hits told of but not there", `{"status":"PEP","pepResults":[],"sanctionResults":[]}`, "undetermined", "0/0"},
		{"hits told of, lists missing", `{"status":"SANCTION"}`, "undetermined", "-/-"},
		{"NONE and a list that is none", `{"status":"NONE","pepResults":{}}`, "undetermined", "-/-"},
		{"NONE and a number for a list", `{"status":"NONE","sanctionResults":0}`, "undetermined", "-/-"},
		{"NONE and entries that are none", `{"status":"NONE","pepResults":[null]}`, "undetermined", "-/-"},
		{"NONE, but no list was searched", `{"status":"NONE","list":[]}`, "undetermined", "-/-"},
		{"NONE and an error", `{"status":"NONE","error":{"source":"OFAC"}}`, "undetermined", "-/-"},
		{"NONE and errors", `{"status":"NONE","errors":["OFAC"]}`, "undetermined", "-/-"},
		{"NONE and a message of trouble", `{"status":"NONE","statusMessage":"OFAC temporarily UNAVAILABLE"}`, "undetermined", "-/-"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := DefaultProfile().ViewDocument([]byte(`{"aml":` + tc.aml + `}`))
			if err != nil {
				t.Fatal(err)
			}
			s := v.Screening()
			got := map[bool]string{true: "clear", false: "undetermined"}[s.Clear()]
			if s.Hit() {
				got = "hit"
			}
			if got != tc.outcome || s.Determined != (tc.outcome != "undetermined") {
				t.Errorf("%s (determined %t), want %s", got, s.Determined, tc.outcome)
			}
			if counts := show(s.PEPHits) + "/" + show(s.SanctionHits); counts != tc.counts {
				t.Errorf("counts %s, want %s", counts, tc.counts)
			}
		})
	}
}

func show(n *int) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func TestListsSearched(t *testing.T) {
	for aml, want := range map[string][]string{
		`{}`: nil, `{"list":null}`: nil, `{"list":"OFAC"}`: nil, `{"list":[]}`: {}, `{"list":["OFAC",7,"","EU"]}`: {"OFAC", "EU"},
		`{"list":[{"name":"OFAC"}]}`: nil, `{"list":[""]}`: nil,
	} {
		v, err := DefaultProfile().ViewDocument([]byte(`{"aml":` + aml + `}`))
		if got := v.Screening().Lists; err != nil || !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%s: %v, %v", aml, got, err)
		}
	}
}

// With real credentials the names may turn out to be others.
func TestScreeningFollowsTheProfile(t *testing.T) {
	p := DefaultProfile()
	p.Document.AML, p.Document.PEPResults, p.Document.SanctionResults = "screening", "pep", "sanction"
	p.Document.NoHits = []string{"CLEAN"}
	c := newFake().client(t, func(cfg *Config) { cfg.Profile = p })
	v, err := c.View([]byte(`{"screening":{"status":"clean","pep":[]}}`))
	if err != nil || !v.Screening().Clear() {
		t.Errorf("%+v, %v", v.Screening(), err)
	}
	if v, err = c.View([]byte(`{"screening":{"pep":[{}]}}`)); err != nil || !v.Screening().Hit() {
		t.Errorf("%+v, %v", v.Screening(), err)
	}
}
