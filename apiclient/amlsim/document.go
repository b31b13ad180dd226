package amlsim

import "encoding/json"

// document renders the result document of a session.
func (s *Simulator) document(ex *exchange, sess session, q query) any {
	f := s.factsAbout(q, sess.person)
	doc := obj{
		"keyInformation": f.keyInformation(s.cfg.NoRegistryAccess),
		// Only an identification with BankID fills it, which sessions do not offer yet.
		"identity": nil,
	}
	if a := f.addresses(s.cfg.NoRegistryAccess); a != nil {
		doc["address"] = a
	}
	if q.expands.has(expandAML) && f.aml.undetermined != amlAbsent {
		doc["aml"] = f.aml.render(sess.flags&ofacSearched != 0)
	}
	if q.expands.has(expandRoles) {
		doc["roles"] = f.renderRoles()
	}
	if q.report {
		doc["links"] = obj{"reports": []obj{{"href": s.link(ex, ex.id, "report/aml", statusReady), "contentType": "application/pdf", "rel": "aml"}}}
	}
	if !s.cfg.Plain {
		s.sprinkle(doc, sess)
	}
	return doc
}

// sprinkle adds what no documentation knows, to a third of the documents: new
// members, and a number that no float64 holds, for those who reformat.
func (s *Simulator) sprinkle(doc obj, sess session) {
	switch uint64(sess.person) % 3 {
	case 0:
		doc["x-dataQuality"] = obj{"score": json.Number("0.930"), "ledger": json.Number("12345678901234567890"), "remarks": []any{nil, "<none & sundry>"}}
		if aml, ok := doc["aml"].(obj); ok {
			aml["listVersions"] = obj{"EU_GLOBAL": "2025-11-01"}
		}
	}
}

// nullable turns "" into null.
func nullable(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (f facts) keyInformation(noRegistry bool) obj {
	k := obj{
		"name": f.firstName + " " + f.lastName, "firstName": f.firstName, "lastName": f.lastName,
		"dateOfBirth": nullable(f.dateOfBirth), "ssn": nullable(f.ssn), "gender": f.gender,
		"metadata": sources("2025-06-01T00:00:00", "NO_NATIONAL_REGISTRY"),
	}
	if noRegistry {
		f.citizenship, f.birthplace, f.historicNames, k["gender"] = "", "", nil, nil
	}
	if f.expands.has(expandCitizenship) {
		k["citizenship"] = nullable(f.citizenship)
	}
	if f.expands.has(expandBirthplace) {
		k["birthplace"] = nullable(f.birthplace)
	}
	if f.expands.has(expandHistoricNames) {
		k["historicNames"] = orEmpty(f.historicNames)
	}
	return k
}

// orEmpty makes [] of a nil slice, where JSON would say null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// origin is the note about where data comes from. The member that holds it is
// called metadata in some places and metaData in others, as in the real API.
type origin struct {
	Sources     []string `json:"sources"`
	URLs        []string `json:"urls"`
	LastChanged any      `json:"lastChanged"`
}

func sources(changed string, names ...string) origin {
	return origin{Sources: names, URLs: []string{}, LastChanged: nullable(changed)}
}

// addresses returns the address object, nil if no part of it was ordered.
func (f facts) addresses(noRegistry bool) obj {
	if f.expands&(expandPostal|expandNational|expandHistoric|expandResidents) == 0 {
		return nil
	}
	if noRegistry {
		f.national, f.historic = nil, nil
	}
	a := obj{}
	postal, national := f.expands.has(expandPostal), f.expands.has(expandNational)
	if postal {
		a["postal"] = f.withResidents(f.postal.wire("BISNODE"))
	}
	if national {
		home := f.withResidents(f.national.wire("NO_NATIONAL_REGISTRY"))
		if home != nil {
			home.PersonStatus, home.AddressStatus = "RESIDENT", "ORDINARY_RESIDENT"
		}
		a["national"] = home
	}
	if postal && national && f.postal != nil && f.national != nil {
		a["matchStatus"] = map[bool]string{true: "Equal", false: "NonEqual"}[*f.postal == *f.national]
	}
	if f.expands.has(expandHistoric) {
		list := []*wireAddress{}
		for i := range f.historic {
			list = append(list, f.historic[i].wire("NO_NATIONAL_REGISTRY"))
		}
		a["historic"] = list
	}
	return a
}

// wireAddress is an address in the document; only the national one has statuses.
type wireAddress struct {
	Address           string     `json:"address"`
	Address2          any        `json:"address2"`
	Postalcode        string     `json:"postalcode"`
	City              string     `json:"city"`
	Country           string     `json:"country"`
	RegisteredDate    string     `json:"registeredDate"`
	PersonStatus      string     `json:"personStatus,omitempty"`
	AddressStatus     string     `json:"addressStatus,omitempty"`
	NumberOfResidents *residents `json:"numberOfResidents,omitempty"`
	MetaData          origin     `json:"metaData"`
}

type residents struct {
	Residents int    `json:"residents"`
	HouseType string `json:"houseType"`
	MetaData  origin `json:"metaData"`
}

// wire renders an address, null if there is none.
func (a *address) wire(source string) *wireAddress {
	if a == nil {
		return nil
	}
	return &wireAddress{
		Address: a.street, Postalcode: a.postcode, City: a.city, Country: "NO",
		RegisteredDate: a.registered, MetaData: sources(a.registered, source),
	}
}

// withResidents adds who lives at an address, if it was ordered.
func (f facts) withResidents(w *wireAddress) *wireAddress {
	if w != nil && f.expands.has(expandResidents) {
		w.NumberOfResidents = &residents{Residents: f.residents, HouseType: f.house, MetaData: sources("", "NO_NATIONAL_REGISTRY")}
	}
	return w
}

func (f facts) renderRoles() []obj {
	list := []obj{}
	for _, r := range f.roles {
		list = append(list, obj{
			"role": r.name, "organizationName": r.organization, "organizationNumber": r.number,
			"since": r.since, "metadata": sources(r.since+"T00:00:00", "BRREG"),
		})
	}
	return list
}
