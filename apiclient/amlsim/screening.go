package amlsim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// screening is what the search in the lists gave.
type screening struct {
	undetermined undetermined
	pep          []hit
	sanction     []hit
}

// undetermined is the form in which a search that gave no answer shows.
type undetermined int

const (
	determined undetermined = iota
	amlAbsent
	amlNull
	amlUnknown
)

// hit is one entry of a list that may be the person.
type hit struct {
	indicator                                int
	match                                    string // a JSON number, as written
	name, born, title, function, comment, id string
	source, updated                          string
}

// wireHit is a hit in the document.
type wireHit struct {
	MatchIndicator            int         `json:"matchIndicator"`
	MatchIndicatorDescription any         `json:"matchIndicatorDescription"`
	NameMatchValue            json.Number `json:"nameMatchValue"`
	Name                      string      `json:"name"`
	BirthDate                 any         `json:"birthDate"`
	BirthDateInfo             []string    `json:"birthDateInfo"`
	Title                     any         `json:"title"`
	Function                  any         `json:"function"`
	Comment                   any         `json:"comment"`
	Provider                  string      `json:"provider"`
	Source                    string      `json:"source"`
	ExternalID                string      `json:"externalId"`
	AliasList                 []string    `json:"aliasList"`
	URLList                   []string    `json:"urlList"`
	AddressList               []string    `json:"addressList"`
	FirstUpdate               string      `json:"firstUpdate"`
	LastUpdate                string      `json:"lastUpdate"`
	Metadata                  origin      `json:"metadata"`
}

func (h hit) wire() wireHit {
	none := []string{}
	born := none
	if h.born != "" {
		born = []string{h.born}
	}
	return wireHit{
		MatchIndicator: h.indicator, MatchIndicatorDescription: describeIndicator(h.indicator),
		NameMatchValue: json.Number(h.match),
		Name:           h.name, BirthDate: nullable(h.born), BirthDateInfo: born,
		Title: nullable(h.title), Function: nullable(h.function), Comment: nullable(h.comment),
		Provider: "TRAPETS", Source: h.source, ExternalID: h.id,
		AliasList: none, URLList: none, AddressList: none,
		FirstUpdate: h.updated, LastUpdate: h.updated,
		Metadata: sources(h.updated, strings.ToUpper(h.source)),
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
		"pepResults": wireHits(s.pep), "sanctionResults": wireHits(s.sanction),
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

func wireHits(hits []hit) []wireHit {
	list := []wireHit{}
	for _, h := range hits {
		list = append(list, h.wire())
	}
	return list
}

// inventScreening draws the outcome in the shares of the mix.
func inventScreening(q query, draw *rand.Rand, mix Mix) screening {
	whole := mix.Clear + mix.Hit + mix.Undetermined
	at := draw.Float64() * whole
	switch {
	case at < mix.Undetermined:
		return screening{undetermined: amlAbsent + undetermined(draw.IntN(3))}
	case at < mix.Undetermined+mix.Hit:
		return inventHits(q, draw)
	default:
		return screening{}
	}
}

func inventHits(q query, draw *rand.Rand) screening {
	var s screening
	kind := draw.IntN(3) // PEP, sanction, both
	if kind != 1 {
		for range 1 + draw.IntN(3) {
			s.pep = append(s.pep, inventHit(q, draw, []string{"PEP_Edge", "PEP_AC"}))
		}
	}
	if kind != 0 {
		for range 1 + draw.IntN(2) {
			s.sanction = append(s.sanction, inventHit(q, draw, []string{"EU_GLOBAL", "UN_CONSOLIDATED_1", "HMTREASURY", "OFAC"}))
		}
	}
	return s
}

func inventHit(q query, draw *rand.Rand, sources []string) hit {
	h := hit{
		indicator: []int{100, 250, 325}[draw.IntN(3)],
		match:     []string{"0.72", "0.88", "0.94", "1.0"}[draw.IntN(4)],
		name:      []string{q.firstName + " " + q.lastName, initial(q.firstName) + ". " + q.lastName, q.lastName + ", " + q.firstName}[draw.IntN(3)],
		born:      q.dateOfBirth,
		source:    sources[draw.IntN(len(sources))],
		id:        fmt.Sprintf("SIM-%08d", draw.IntN(100_000_000)),
		updated:   inventDate(draw, 2012, 2025) + "T00:00:00",
	}
	switch draw.IntN(4) {
	case 0:
		h.comment = "Relative or close associate (RCA)"
	case 1:
		h.comment = "Expired: no longer active"
	case 2:
		h.title, h.function = "Member", "Simulated assembly"
	}
	if q.ssn != "" && draw.IntN(3) == 0 {
		h.indicator = 500 // the whole number matched
	}
	return h
}

// initial returns the first letter of a name.
func initial(name string) string {
	for _, letter := range name {
		return strings.ToUpper(string(letter))
	}
	return ""
}
