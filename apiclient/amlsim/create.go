package amlsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// query is what a creation asks for, read and checked.
type query struct {
	firstName, lastName, dateOfBirth, ssn, ssnCountry, language string

	expands expandSet
	report  bool
}

func (q query) key() personKey { return keyOf(q.firstName, q.lastName, q.dateOfBirth, q.ssn) }

// expandSet is what was ordered, one bit for each of expandNames.
type expandSet uint16

const (
	expandCitizenship expandSet = 1 << iota
	expandBirthplace
	expandHistoricNames
	expandPostal
	expandNational
	expandHistoric
	expandResidents
	expandAML
	expandRoles
	expandReport
)

// expandNames are the orderable elements in the order of their bits.
func expandNames() []string {
	return []string{
		"keyInformation.citizenship", "keyInformation.birthplace", "keyInformation.historicNames",
		"address.postal", "address.national", "address.historic", "address.numberOfResidents",
		"aml", "roles", "links.reports.aml",
	}
}

func (e expandSet) has(one expandSet) bool { return e&one != 0 }

// maxField bounds each text of a query in bytes, far above any true name.
const maxField = 1000

// refusal is an answer that says what is wrong with a request.
type refusal struct {
	status         int
	field, message string
}

func invalid(field, format string, args ...any) *refusal {
	return &refusal{status: http.StatusUnprocessableEntity, field: field, message: fmt.Sprintf(format, args...)}
}

// readQuery reads the body of a creation. What cannot be read is 400, what
// can be read and asks for the impossible 422. Unknown members are ignored, as
// an API without versions must.
func readQuery(body []byte, today time.Time) (query, *refusal) {
	var wire struct {
		FirstName    *string  `json:"firstName"`
		LastName     *string  `json:"lastName"`
		DateOfBirth  *string  `json:"dateOfBirth"`
		SSN          *string  `json:"ssn"`
		Country      *string  `json:"country"`
		CountryOfSSN *string  `json:"countryOfSsn"` // the name before V73, still accepted
		Language     *string  `json:"language"`
		Expands      []string `json:"expands"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&wire); err != nil {
		return query{}, &refusal{status: http.StatusBadRequest, message: "body is not the JSON object that was expected"}
	}
	if dec.More() {
		return query{}, &refusal{status: http.StatusBadRequest, message: "more than one JSON value in the body"}
	}
	if wire.Country == nil {
		wire.Country = wire.CountryOfSSN
	}
	q := query{
		firstName: text(wire.FirstName), lastName: text(wire.LastName), dateOfBirth: text(wire.DateOfBirth),
		ssn: text(wire.SSN), ssnCountry: text(wire.Country), language: text(wire.Language),
	}
	if r := q.check(today); r != nil {
		return query{}, r
	}
	return q, q.order(wire.Expands)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// check applies the documented rules and fills the defaults.
func (q *query) check(today time.Time) *refusal {
	for _, f := range [...]struct{ field, value string }{
		{"firstName", q.firstName}, {"lastName", q.lastName}, {"dateOfBirth", q.dateOfBirth}, {"ssn", q.ssn},
	} {
		field, value := f.field, f.value
		if len(value) > maxField || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return invalid(field, "%s is too long or holds control characters", field)
		}
	}
	if strings.TrimSpace(q.firstName) == "" {
		return invalid("firstName", "firstName is required")
	}
	if strings.TrimSpace(q.lastName) == "" {
		return invalid("lastName", "lastName is required")
	}
	if q.dateOfBirth == "" && q.ssn == "" {
		return invalid("dateOfBirth", "one of dateOfBirth and ssn is required")
	}
	if q.dateOfBirth != "" {
		born, err := time.Parse(time.DateOnly, q.dateOfBirth)
		if err != nil || born.After(today) {
			return invalid("dateOfBirth", "dateOfBirth %s is not a date of the form YYYY-MM-DD in the past", q.dateOfBirth)
		}
	}
	return q.checkCodes()
}

func (q *query) checkCodes() *refusal {
	q.ssnCountry = strings.ToUpper(q.ssnCountry)
	if q.ssnCountry == "" {
		q.ssnCountry = "NO"
	}
	if !slices.Contains([]string{"NO", "SE", "DK", "FI"}, q.ssnCountry) {
		return invalid("country", "country must be NO, SE, DK or FI")
	}
	if q.ssn != "" && !plausibleSSN(q.ssnCountry, q.ssn) {
		// The number is repeated on purpose: an API does that, and a client has
		// to keep it out of its logs.
		return invalid("ssn", "ssn %s is not valid in %s", q.ssn, q.ssnCountry)
	}
	q.language = strings.ToLower(q.language)
	if q.language == "" {
		q.language = "nb"
	}
	if !slices.Contains([]string{"no", "nb", "nn", "en"}, q.language) {
		return invalid("language", "language must be no, nb, nn or en")
	}
	return nil
}

// order reads what the query buys.
func (q *query) order(expands []string) *refusal {
	names := expandNames()
	for _, name := range expands {
		i := slices.Index(names, name)
		if i < 0 {
			return invalid("expands", "expands holds an unknown element")
		}
		q.expands |= 1 << i
	}
	q.report = q.expands.has(expandReport)
	return nil
}

// plausibleSSN looks at length and characters only. The rules of check digits
// are not the simulator's business; a refusal can be had with one digit less.
func plausibleSSN(country, ssn string) bool {
	digits := func(s string, lengths ...int) bool {
		return slices.Contains(lengths, len(s)) && strings.Trim(s, "0123456789") == ""
	}
	switch country {
	case "NO":
		return digits(ssn, 11)
	case "SE": // the hyphen is accepted since V71, the plus of centenarians is not
		return digits(strings.Replace(ssn, "-", "", 1), 10, 12)
	case "DK":
		return digits(strings.Replace(ssn, "-", "", 1), 10)
	default:
		return len(ssn) == 11 && digits(ssn[:6], 6) && digits(ssn[7:10], 3)
	}
}

// pack and unpackQuery turn the texts of a query into the bytes a session
// keeps. Control characters are refused above, so NUL can part the fields.
func (q query) pack() []byte {
	return []byte(strings.Join([]string{q.firstName, q.lastName, q.dateOfBirth, q.ssn, q.ssnCountry, q.language}, "\x00"))
}

func unpackQuery(s session, packed []byte) query {
	f := strings.Split(string(packed), "\x00")
	return query{
		firstName: f[0], lastName: f[1], dateOfBirth: f[2], ssn: f[3], ssnCountry: f[4], language: f[5],
		expands: s.expands, report: s.flags&reportOrdered != 0,
	}
}
