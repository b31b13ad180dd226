package apiclient

import (
	"encoding/json"
	"slices"
)

// Screening is what a document says about hits on PEP and sanction lists.
//
// It never takes silence for an answer: "no hits" needs a search that says
// that it found nothing and nothing that contradicts it. Everything between a
// hit and that is undetermined.
type Screening struct {
	// Determined: the document says hit, or says clear.
	Determined bool
	// PEPHits and SanctionHits are the entries found; nil if the document
	// does not tell.
	PEPHits, SanctionHits *int
	// Lists are the lists searched; nil if the document does not tell.
	Lists []string
}

// Hit reports whether at least one entry was found.
func (s Screening) Hit() bool { return count(s.PEPHits)+count(s.SanctionHits) > 0 }

// Clear reports whether the search says that there is none.
func (s Screening) Clear() bool { return s.Determined && !s.Hit() }

func count(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// screen reads the "aml" member. With two lists that may be there, missing or
// unreadable, and a status that may be there, missing or new:
//
//   - an entry in either list is a hit, whatever the rest says;
//   - clear needs the status to say so (then a missing list has no entries),
//     or both lists to be there and empty under no status at all;
//   - a list that is not a list, a status that is unknown or tells of hits
//     that are not there, no lists searched, or the mention of an error make
//     it undetermined.
func (f Fields) screen(raw json.RawMessage) Screening {
	aml, ok := asObject(raw)
	if !ok {
		return Screening{}
	}
	pep, pepBroken := countHits(aml[f.PEPResults])
	sanctions, sanctionsBroken := countHits(aml[f.SanctionResults])
	s := Screening{PEPHits: pep, SanctionHits: sanctions, Lists: listNames(aml[f.Lists])}
	if s.Hit() {
		s.Determined = true
		return s
	}
	if pepBroken || sanctionsBroken || f.doubtful(aml) {
		return s
	}
	if isMissing(aml[f.Status]) {
		s.Determined = pep != nil && sanctions != nil
		return s
	}
	if status, ok := asString(aml[f.Status]); !ok || !equalsFold(status, f.NoHits) {
		return s
	}
	s.Determined = true
	none := 0
	if s.PEPHits == nil {
		s.PEPHits = &none
	}
	if s.SanctionHits == nil {
		s.SanctionHits = &none
	}
	return s
}

// doubtful reports whether something beside lists and status says that the
// search was not whole.
func (f Fields) doubtful(aml map[string]json.RawMessage) bool {
	if lists, ok := asList(aml[f.Lists]); ok && len(lists) == 0 {
		return true // it says itself that no list was searched
	}
	if message, ok := asString(aml[f.StatusMessage]); ok && containsFold(message, f.ErrorWords) {
		return true
	}
	return slices.ContainsFunc(f.ErrorKeys, func(key string) bool {
		items, ok := asList(aml[key])
		return !isMissing(aml[key]) && !(ok && len(items) == 0)
	})
}

// countHits counts the entries of a list; nil if there is none, or if it holds
// nothing that looks like an entry but is not empty either (broken).
func countHits(raw json.RawMessage) (n *int, broken bool) {
	if isMissing(raw) {
		return nil, false
	}
	items, ok := asList(raw)
	if !ok {
		return nil, true
	}
	found := 0
	for _, item := range items {
		if _, ok := asObject(item); ok {
			found++
		}
	}
	if found == 0 && len(items) > 0 {
		return nil, true
	}
	return &found, false
}

func isMissing(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
