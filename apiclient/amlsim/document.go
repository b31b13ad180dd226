package amlsim

import (
	"encoding/json"
	"strings"
)

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

// sources is the note about where data comes from. Its member is called
// metadata in some places and metaData in others, as in the real API.
func sources(changed string, names ...string) obj {
	return obj{"sources": names, "urls": []string{}, "lastChanged": nullable(changed)}
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
		a["postal"] = f.renderAddress(f.postal, "BISNODE", nil)
	}
	if national {
		a["national"] = f.renderAddress(f.national, "NO_NATIONAL_REGISTRY", obj{"personStatus": "RESIDENT", "addressStatus": "ORDINARY_RESIDENT"})
	}
	if postal && national && f.postal != nil && f.national != nil {
		a["matchStatus"] = map[bool]string{true: "Equal", false: "NonEqual"}[*f.postal == *f.national]
	}
	if f.expands.has(expandHistoric) {
		list := []any{}
		for i := range f.historic {
			bare := facts{}
			list = append(list, bare.renderAddress(&f.historic[i], "NO_NATIONAL_REGISTRY", nil))
		}
		a["historic"] = list
	}
	return a
}

// renderAddress returns an address with what else belongs in it, null if there is none.
func (f facts) renderAddress(a *address, source string, more obj) any {
	if a == nil {
		return nil
	}
	o := obj{
		"address": a.street, "address2": nil, "postalcode": a.postcode, "city": a.city, "country": "NO",
		"registeredDate": a.registered, "metaData": sources(a.registered, source),
	}
	for name, value := range more {
		o[name] = value
	}
	if f.expands.has(expandResidents) {
		o["numberOfResidents"] = obj{"residents": f.residents, "houseType": f.house, "metaData": sources("", "NO_NATIONAL_REGISTRY")}
	}
	return o
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

// hit is one entry of a list that may be the person.
type hit struct {
	indicator                                int
	match                                    string // a JSON number, as written
	name, born, title, function, comment, id string
	source, updated                          string
}

func (h hit) render() obj {
	born := []string{}
	if h.born != "" {
		born = append(born, h.born)
	}
	return obj{
		"matchIndicator": h.indicator, "matchIndicatorDescription": describeIndicator(h.indicator),
		"nameMatchValue": json.Number(h.match),
		"name":           h.name, "birthDate": nullable(h.born), "birthDateInfo": born,
		"title": nullable(h.title), "function": nullable(h.function), "comment": nullable(h.comment),
		"provider": "TRAPETS", "source": h.source, "externalId": h.id,
		"aliasList": []string{}, "urlList": []string{}, "addressList": []obj{},
		"firstUpdate": h.updated, "lastUpdate": h.updated,
		"metadata": sources(h.updated, strings.ToUpper(h.source)),
	}
}

func describeIndicator(indicator int) any {
	switch {
	case indicator == 500:
		return "Full match of the national identity number"
	case indicator >= 300:
		return "Match of name and date of birth"
	default:
		return nil
	}
}

// render returns the aml object. The OFAC list is searched only for callers
// whose token has the scope.
func (s screening) render(ofac bool) any {
	switch s.undetermined {
	case amlNull:
		return nil
	case amlUnknown:
		return obj{"status": "UNKNOWN", "statusMessage": "A source did not answer", "list": nil, "pepResults": nil, "sanctionResults": nil, "metadata": nil}
	}
	lists := searchedLists(ofac)
	s = s.within(ofac)
	return obj{
		"status": s.status(), "statusMessage": nil, "list": lists,
		"pepResults": renderHits(s.pep), "sanctionResults": renderHits(s.sanction),
		"metadata": sources("2025-11-01T00:00:00", lists...),
	}
}

func searchedLists(ofac bool) []string {
	lists := []string{"UN_CONSOLIDATED", "EU_GLOBAL", "HMTREASURY", "PEP_AC", "PEP_EDGE"}
	if ofac {
		lists = append(lists, "OFAC")
	}
	return lists
}

// within leaves out the hits of lists that were not searched.
func (s screening) within(ofac bool) screening {
	if ofac {
		return s
	}
	var searched []hit
	for _, h := range s.sanction {
		if h.source != "OFAC" {
			searched = append(searched, h)
		}
	}
	s.sanction = searched
	return s
}

func (s screening) status() string {
	switch {
	case s.undetermined != determined:
		return "UNKNOWN"
	case len(s.pep) > 0 && len(s.sanction) > 0:
		return "PEP_AND_SANCTION"
	case len(s.pep) > 0:
		return "PEP"
	case len(s.sanction) > 0:
		return "SANCTION"
	default:
		return "NONE"
	}
}

func renderHits(hits []hit) []obj {
	list := []obj{}
	for _, h := range hits {
		list = append(list, h.render())
	}
	return list
}
