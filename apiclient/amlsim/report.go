package amlsim

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// report renders the PDF report of a session. The same session gives the same
// file whenever it is fetched.
func (s *Simulator) report(ex *exchange, sess session, q query) answer {
	f := s.factsAbout(q, sess.person)
	doc := pdfDocument{
		title: wordsFor(q.language).title,
		at:    s.start.Add(s.scheduleOf(sess).report).Truncate(time.Second),
		sign:  s.signer.sign,
	}
	doc.lines = f.reportLines(ex.id, doc.at, sess.flags&ofacSearched != 0, s.cfg.NoRegistryAccess)
	if ex.does(ActUnsigned) {
		doc.sign = nil
	}
	file, err := doc.encode()
	if err != nil {
		return errorAnswer(http.StatusInternalServerError, "", "report could not be made")
	}
	return answer{status: http.StatusOK, header: http.Header{
		"Content-Type":        {"application/pdf"},
		"Content-Disposition": {`attachment; filename="aml-report.pdf"`},
	}, body: file}
}

// words are what a report says, in one language.
type words struct {
	title, session, made, person, name, born, number, citizenship        string
	address, postal, national, earlier, residents, none                  string
	search, lists, pep, sanction, match, noHits, noAnswer, roles, footer string
}

// wordsFor returns the words of a language; no is Bokmål too.
func wordsFor(language string) words {
	switch language {
	case "en":
		return words{
			title: "AML report (simulated)", session: "Session", made: "Made", person: "Person", name: "Name", born: "Date of birth",
			number: "National identity number", citizenship: "Citizenship", address: "Addresses", postal: "Postal address",
			national: "National registry", earlier: "Earlier address", residents: "Residents", none: "not found",
			search: "PEP and sanctions", lists: "Lists searched", pep: "PEP", sanction: "Sanction", match: "match",
			noHits: "No hits.", noAnswer: "The search gave no answer. This does not mean that there are no hits.",
			roles: "Roles", footer: "Made by a simulator. Says nothing about any living person.",
		}
	case "nn":
		return words{
			title: "AML-rapport (simulert)", session: "Økt", made: "Laga", person: "Person", name: "Namn", born: "Fødselsdato",
			number: "Fødselsnummer", citizenship: "Statsborgarskap", address: "Adresser", postal: "Postadresse",
			national: "Folkeregisteret", earlier: "Tidlegare adresse", residents: "Bebuarar", none: "ikkje funnen",
			search: "PEP og sanksjonar", lists: "Lister det er søkt i", pep: "PEP", sanction: "Sanksjon", match: "treff",
			noHits: "Ingen treff.", noAnswer: "Søket gav ikkje svar. Det tyder ikkje at det ikkje finst treff.",
			roles: "Roller", footer: "Laga av ein simulator. Seier ingenting om nokon levande person.",
		}
	default:
		return words{
			title: "AML-rapport (simulert)", session: "Økt", made: "Laget", person: "Person", name: "Navn", born: "Fødselsdato",
			number: "Fødselsnummer", citizenship: "Statsborgerskap", address: "Adresser", postal: "Postadresse",
			national: "Folkeregisteret", earlier: "Tidligere adresse", residents: "Beboere", none: "ikke funnet",
			search: "PEP og sanksjoner", lists: "Lister det er søkt i", pep: "PEP", sanction: "Sanksjon", match: "treff",
			noHits: "Ingen treff.", noAnswer: "Søket ga ikke svar. Det betyr ikke at det ikke finnes treff.",
			roles: "Roller", footer: "Laget av en simulator. Sier ingenting om noen levende person.",
		}
	}
}

// reportLines is the text of the report: everything that was ordered.
func (f facts) reportLines(session string, made time.Time, ofac, noRegistry bool) []pdfLine {
	w := wordsFor(f.language)
	var lines []pdfLine
	chapter := func(title string) { lines = append(lines, pdfLine{}, pdfLine{text: title, heading: true}) }
	entry := func(label, value string) {
		if value == "" {
			value = w.none
		}
		lines = append(lines, pdfLine{text: label + ": " + value})
	}
	lines = append(lines, pdfLine{text: w.title, heading: true})
	entry(w.session, session)
	entry(w.made, made.UTC().Format(time.RFC3339))

	chapter(w.person)
	entry(w.name, f.firstName+" "+f.lastName)
	entry(w.born, f.dateOfBirth)
	entry(w.number, f.ssn)
	if noRegistry {
		f.citizenship, f.national, f.historic = "", nil, nil
	}
	if f.expands.has(expandCitizenship) {
		entry(w.citizenship, f.citizenship)
	}
	if f.expands&(expandPostal|expandNational|expandHistoric) != 0 {
		chapter(w.address)
		f.addressLines(w, entry)
	}
	if f.expands.has(expandAML) {
		chapter(w.search)
		lines = append(lines, f.aml.reportLines(w, ofac)...)
	}
	if f.expands.has(expandRoles) {
		chapter(w.roles)
		for _, r := range f.roles {
			entry(r.name, r.organization+", "+r.number)
		}
	}
	return append(lines, pdfLine{}, pdfLine{text: w.footer})
}

func (f facts) addressLines(w words, entry func(label, value string)) {
	oneLine := func(a *address) string {
		if a == nil {
			return ""
		}
		return a.street + ", " + a.postcode + " " + a.city
	}
	if f.expands.has(expandPostal) {
		entry(w.postal, oneLine(f.postal))
	}
	if f.expands.has(expandNational) {
		entry(w.national, oneLine(f.national))
	}
	if f.expands.has(expandResidents) && (f.postal != nil || f.national != nil) {
		entry(w.residents, fmt.Sprint(f.residents))
	}
	if f.expands.has(expandHistoric) {
		for i := range f.historic {
			entry(w.earlier, oneLine(&f.historic[i]))
		}
	}
}

func (s screening) reportLines(w words, ofac bool) []pdfLine {
	if s.undetermined != determined {
		return []pdfLine{{text: w.noAnswer}}
	}
	s = s.within(ofac)
	lines := []pdfLine{{text: w.lists + ": " + strings.Join(searchedLists(ofac), ", ")}}
	for _, group := range []struct {
		kind string
		hits []hit
	}{{w.pep, s.pep}, {w.sanction, s.sanction}} {
		for _, h := range group.hits {
			text := fmt.Sprintf("%s: %s, %s, %s %d", group.kind, h.name, h.source, w.match, h.indicator)
			if h.comment != "" {
				text += ". " + h.comment
			}
			lines = append(lines, pdfLine{text: text})
		}
	}
	if len(s.pep)+len(s.sanction) == 0 {
		lines = append(lines, pdfLine{text: w.noHits})
	}
	return lines
}
