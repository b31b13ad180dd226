package portfolio

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"rescreen/apiclient/nationalid/idtest"
)

// The sample portfolio is what a customer of the Nordic countries would send,
// about people who do not exist. Each national id is from a range that no
// living person can hold:
//
//   - Norway: the API's five documented test people; everybody else from the
//     tax agency's synthetic series (month + 80), D-numbers too (day + 40).
//   - Sweden: born 1890 to 1899, so nobody alive. The serials 238 and 239 are
//     those of the tax agency's published test numbers: even without its
//     century none of these is the number of somebody born in the 1990s.
//   - Denmark: born 1880 to 1899, which the seventh digit (5 to 8) says
//     together with the year, so no other century can be meant.
//   - Finland: individual numbers 900 to 999, never entered in the population
//     register.
const (
	sampleRows     = 500
	sampleTenor    = 238
	sampleDNumbers = 24
	sampleSwedish  = 32
	sampleDanish   = 24
	sampleFinnish  = 24
)

// sampleRow is one row by column; a raw row is written as it is.
type sampleRow struct {
	ref, first, last, born, ssn, country, expands, report, language string
	raw                                                             string
}

// sample writes the portfolio, the same every time.
type sample struct{ rng *rand.Rand }

func samplePortfolio() []byte {
	s := sample{rand.New(rand.NewPCG(2007, 1))}
	rows := s.people()
	s.rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	rows = append(testPeople(), rows...)
	s.order(rows)
	for i, bad := range badRows() {
		rows = slices.Insert(rows, 17+i*29, bad) // spread over the file
	}
	s.number(rows)
	var out bytes.Buffer
	out.WriteString("customer_ref,first_name,last_name,date_of_birth,ssn,ssn_country,expands,report,language\n")
	w := csv.NewWriter(&out)
	for _, r := range rows {
		if r.raw != "" {
			w.Flush()
			out.WriteString(r.raw + "\n")
			continue
		}
		_ = w.Write([]string{r.ref, r.first, r.last, r.born, r.ssn, r.country, r.expands, r.report, r.language})
	}
	w.Flush()
	return out.Bytes()
}

// testPeople are the people the API's test environment knows.
func testPeople() []sampleRow {
	const born = "2007-01-01"
	return []sampleRow{
		{first: "Tomas", last: "Topstad", born: born, ssn: "01010750160", country: "NO", report: "true", language: "nb"},
		{first: "Kari", last: "Klaven", born: born, ssn: "01010750241", country: "NO", report: "true", language: "en"},
		{first: "Kris Psa", last: "Granum", born: born, ssn: "01010750322", country: "NO"},
		{first: "Morten", last: "Holm", born: born, ssn: "01010751388", country: "NO"},
		{first: "Mia", last: "Holm", born: born, ssn: "01010751469", country: "NO"},
	}
}

// badRows are the mistakes of real files, one of each kind. Their numbers are
// synthetic as well.
func badRows() []sampleRow {
	const born = "1987-06-05"
	return []sampleRow{
		{first: "Håkon", born: born},                                                                       // no last name
		{first: "Sunniva", last: "Moen", born: "1987-02-30"},                                               // no such day
		{first: "Eirik", last: "Solberg", ssn: wrongDigit(tenor(1979, 4, 12, 345)), country: "NO"},         // control digit
		{first: "Ragnhild", last: "Dahl"},                                                                  // neither date nor number
		{first: "Jürgen", last: "Weiß", born: born, report: "true", language: "de"},                        // language
		{ref: sameAsBefore, first: "Ingeborg", last: "Lunde", born: born},                                  // reference seen before
		{ref: tenor(1964, 11, 3, 222), first: "Oddvar", last: "Nygård", born: "1964-11-03"},                // a person as reference
		{first: "Solveig", last: "Haugen", born: born, expands: "aml|creditScore"},                         // nothing to be bought
		{raw: `%s,"Terje,Bakke,1987-06-05,,,,,`},                                                           // quote not closed
		{raw: "%s,Astrid,Strand,1987-06-05,,,,"},                                                           // a column short
		{first: "Guðrún", last: "Jónsdóttir", born: "1887-06-05", ssn: "0506870008", country: "IS"},        // country
		{first: "Bjørn", last: "Aas", born: "2107-06-05"},                                                  // in the future
		{ref: none, first: "Vigdis", last: "Lien", born: born},                                             // no reference
		{first: "Leif", last: "Myhre", born: born, report: "PDF"},                                          // neither yes nor no
		{raw: `%s,Anne "Anna" Marie,Foss,1987-06-05,,,,,`},                                                 // quote within a field
		{first: "Knut", last: "Hagen", ssn: tenor(1990, 1, 5, 111)[1:], country: "NO", born: "1990-01-05"}, // a leading zero lost
	}
}

// References that number does not give out.
const (
	none         = "none"
	sameAsBefore = "same as before"
)

// number gives the rows their references, rising with gaps as those of
// customers who stayed.
func (s sample) number(rows []sampleRow) {
	n := 100
	for i := range rows {
		n += 1 + s.rng.IntN(4)
		ref := fmt.Sprintf("C-%06d", n)
		switch r := &rows[i]; {
		case r.raw != "":
			r.raw = fmt.Sprintf(r.raw, ref)
		case r.ref == none:
			r.ref = ""
		case r.ref == sameAsBefore:
			r.ref = rows[i-40].ref
		case r.ref == "":
			r.ref = ref
		}
	}
}

func wrongDigit(ssn string) string { return ssn[:10] + string('0'+(ssn[10]-'0'+1)%10) }

// tenor returns a synthetic Norwegian number; the individual number is counted
// up to the first that has control digits.
func tenor(year, month, day, individual int) string {
	for ; ; individual++ {
		if ssn, ok := idtest.Norwegian(time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC), individual, 0, 80, 0); ok {
			return ssn
		}
	}
}

// people returns everybody but the test people.
func (s sample) people() []sampleRow {
	var rows []sampleRow
	add := func(n int, make func() sampleRow) {
		for range n {
			rows = append(rows, make())
		}
	}
	add(sampleTenor, func() sampleRow { return s.norwegian(0) })
	add(sampleDNumbers, func() sampleRow { return s.norwegian(40) })
	add(sampleSwedish, s.swedish)
	add(sampleDanish, s.danish)
	add(sampleFinnish, s.finnish)
	add(sampleRows-len(rows)-len(testPeople())-len(badRows()), func() sampleRow {
		first, last := s.name(norwegianNames)
		return sampleRow{first: first, last: last, born: s.day(1936, 2007).Format(time.DateOnly)}
	})
	// What a form field takes: nobody's name is like these on purpose.
	for i, last := range []string{"Sørensen-Østgård", "O'Brien", "von der Lippe, dr. med.", `Åsmund "Åse" Tveit`,
		"Anckarsvärd-Hallström af Löfsta och Wrangel von Ådeskog-Gyllenstierna til Nørre Vosborg, Båstad og Ærøskøbing"} {
		rows[i*7].last = last
	}
	rows[2].first = "Wilhelmina Fredrikke Aurora Thorvaldine Margrethe Elisabeth"
	return rows
}

func (s sample) day(from, to int) time.Time {
	first := time.Date(from, 1, 1, 0, 0, 0, 0, time.UTC)
	return first.AddDate(0, 0, s.rng.IntN((to-from)*365))
}

func (s sample) norwegian(addDay int) sampleRow {
	first, last := s.name(norwegianNames)
	if addDay > 0 {
		first, last = s.name(foreignNames)
	}
	born := s.day(1938, 2007)
	from := 100 // of the 1900s, and of D-numbers of both centuries
	if born.Year() >= 2000 {
		from = 500
	}
	remainder := 0
	if s.rng.IntN(100) == 0 {
		remainder = 1 + s.rng.IntN(3) // the rules of 2032 are in test data already
	}
	for {
		if ssn, ok := idtest.Norwegian(born, from+s.rng.IntN(390), addDay, 80, remainder); ok {
			return s.numbered(sampleRow{first: first, last: last, ssn: ssn, country: "NO"}, born)
		}
	}
}

func (s sample) swedish() sampleRow {
	first, last := s.name(swedishNames)
	born := s.day(1890, 1900)
	addDay := 0
	if s.rng.IntN(8) == 0 {
		addDay = 60
	}
	ssn := idtest.Swedish(born, 238+s.rng.IntN(2), addDay)
	if s.rng.IntN(2) == 0 {
		ssn = ssn[:8] + "-" + ssn[8:]
	}
	return s.numbered(sampleRow{first: first, last: last, ssn: ssn, country: "SE"}, born)
}

func (s sample) danish() sampleRow {
	first, last := s.name(danishNames)
	born := s.day(1880, 1900)
	ssn := idtest.Danish(born, 5000+s.rng.IntN(4000))
	if s.rng.IntN(3) == 0 {
		ssn = strings.Replace(ssn, "-", "", 1)
	}
	return s.numbered(sampleRow{first: first, last: last, ssn: ssn, country: "DK"}, born)
}

func (s sample) finnish() sampleRow {
	first, last := s.name(finnishNames)
	born := s.day(1940, 2007)
	signs := "---Y"
	if born.Year() >= 2000 {
		signs = "AAAB"
	}
	ssn := idtest.Finnish(born, signs[s.rng.IntN(4)], 900+s.rng.IntN(100))
	return s.numbered(sampleRow{first: first, last: last, ssn: ssn, country: "FI"}, born)
}

// numbered gives the birth date to most rows that have a number: the API
// recommends it, customers forget it.
func (s sample) numbered(r sampleRow, born time.Time) sampleRow {
	if s.rng.IntN(10) > 0 {
		r.born = born.Format(time.DateOnly)
	}
	if r.country == "NO" && s.rng.IntN(2) == 0 {
		r.country = "" // the default
	}
	return r
}

// order says what some rows buy: a fifth the report, a few less or more data.
func (s sample) order(rows []sampleRow) {
	languages := []string{"nb", "nb", "nb", "nn", "no", "en", "en", ""}
	for i := range rows {
		if rows[i].report == "" && s.rng.IntN(100) < 22 {
			rows[i].report = []string{"true", "true", "true", "yes", "1"}[s.rng.IntN(5)]
			rows[i].language = languages[s.rng.IntN(len(languages))]
		}
		switch s.rng.IntN(25) {
		case 0:
			rows[i].expands = "aml"
		case 1:
			rows[i].expands = "aml|roles"
		case 2:
			rows[i].expands = "keyInformation.citizenship keyInformation.birthplace address.postal address.historic aml roles"
		}
	}
}
