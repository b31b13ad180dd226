package portfolio

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
	"rescreen/queue"
)

var update = flag.Bool("update", false, "write testdata/portfolio.csv anew")

const sampleFile = "../../testdata/portfolio.csv"

// TestPortfolioFile holds the sample portfolio to what its users rely on. The
// file is made by samplePortfolio: go test ./queue/portfolio -run TestPortfolioFile -update
func TestPortfolioFile(t *testing.T) {
	if *update {
		if err := os.WriteFile(sampleFile, samplePortfolio(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, samplePortfolio()) {
		t.Error("the file is not what samplePortfolio makes: run with -update")
	}
	if lines := bytes.Count(text, []byte("\n")); lines != 1+sampleRows {
		t.Errorf("%d lines, not a header and %d rows", lines, sampleRows)
	}
	jobs, rejects, counts := readAll(t, bytes.NewReader(text), Options{})
	if counts.Rows != sampleRows || counts.Blank > 0 || counts.Duplicates != 1 {
		t.Errorf("%+v", counts)
	}
	t.Run("rejects", func(t *testing.T) { checkKinds(t, rejects) })
	t.Run("test people", func(t *testing.T) { checkTestPeople(t, jobs) })
	t.Run("numbers", func(t *testing.T) { checkNumbers(t, jobs) })
	t.Run("nobody's numbers in rejects", func(t *testing.T) { checkDigits(t, text) })
	t.Run("orders", func(t *testing.T) { checkOrders(t, jobs) })
	t.Run("names", func(t *testing.T) { checkNames(t, jobs) })
}

func checkKinds(t *testing.T, rejects []string) {
	kinds := map[string]string{}
	for _, r := range rejects {
		row, kind, _ := strings.Cut(r, " ")
		if other, twice := kinds[kind]; twice {
			t.Errorf("rows %s and %s are bad in the same way: %s", other, row, kind)
		}
		kinds[kind] = row
	}
	for _, kind := range []string{
		"customer_ref: is missing",
		"last_name: is missing",
		"date_of_birth: is not a date in the form YYYY-MM-DD",
		"date_of_birth: is missing, and so is ssn",
		"date_of_birth: lies in the future",
		"ssn: cannot exist in its country: NO national id: control digit does not fit",
		"ssn: cannot exist in its country: NO national id: wrong length",
		"ssn_country: is none of NO, SE, DK, FI",
		"customer_ref: seen before",
		"customer_ref: reads as a national identity number",
		"expands: holds an unknown value",
		"report: is none of true, false, yes, no, 1, 0",
		"language: is none of nb, nn, no, en",
		": has a quote that is not closed",
		": has a quote within a field without quotes around it: quote the field and double its quotes",
		": has 8 columns, the header has 9",
	} {
		if kinds[kind] == "" {
			t.Errorf("no row is rejected for %s", kind)
		}
		delete(kinds, kind)
	}
	if len(kinds) > 0 {
		t.Errorf("rows rejected otherwise: %v", kinds)
	}
}

func checkTestPeople(t *testing.T, jobs []queue.Job) {
	want := map[string]string{
		"01010750160": "Tomas Topstad", "01010750241": "Kari Klaven", "01010750322": "Kris Psa Granum", "01010751388": "Morten Holm", "01010751469": "Mia Holm",
	}
	for _, j := range jobs {
		ssn := j.SSN.Reveal()
		if name := j.FirstName.Reveal() + " " + j.LastName.Reveal(); want[ssn] == name && j.DateOfBirth == "2007-01-01" {
			delete(want, ssn)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// checkNumbers holds every number to the ranges that no living person can
// hold, and counts them.
func checkNumbers(t *testing.T, jobs []queue.Job) {
	count := map[string]int{}
	for _, j := range jobs {
		if j.SSN == "" {
			count["birth date only"]++
			continue
		}
		n, err := nationalid.Parse(j.SSNCountry, j.SSN)
		if err != nil {
			t.Fatal(err)
		}
		count[string(n.Country())+" "+n.Kind().String()]++
		if j.DateOfBirth == "" {
			count["number only"]++
		}
		born, known := n.BirthDate()
		switch n.Country() {
		case nationalid.Norway:
			test := strings.HasPrefix(n.Reveal(), "0101075") && n.Kind() == nationalid.Ordinary
			if !test && (!n.Synthetic() || n.Reveal()[2] < '8') {
				t.Errorf("%s: a Norwegian number that is neither synthetic nor a test person's", j.CustomerRef)
			}
		case nationalid.Sweden:
			serial := n.Reveal()[8:11]
			if !known || born.Year() < 1890 || born.Year() > 1899 || serial != "238" && serial != "239" {
				t.Errorf("%s: a Swedish number somebody may hold", j.CustomerRef)
			}
		case nationalid.Denmark:
			if born.Year() >= 1900 {
				t.Errorf("%s: a Danish number somebody may hold", j.CustomerRef)
			}
		case nationalid.Finland:
			if n.Kind() != nationalid.Temporary {
				t.Errorf("%s: a Finnish number somebody may hold", j.CustomerRef)
			}
		}
		if known && j.DateOfBirth != "" && born.Format("2006-01-02") != j.DateOfBirth.Reveal() {
			t.Errorf("%s: born on another day than its number says", j.CustomerRef)
		}
	}
	for kind, least := range map[string]int{"NO ordinary": 5, "NO synthetic number": sampleTenor, "NO D-number": sampleDNumbers, "SE ordinary": 20,
		"SE coordination number": 2, "DK ordinary": sampleDanish, "FI temporary number": sampleFinnish, "birth date only": 100, "number only": 20} {
		if count[kind] < least {
			t.Errorf("%d of kind %q, not %d or more", count[kind], kind, least)
		}
	}
	if count["NO ordinary"] != 5 {
		t.Errorf("%d ordinary Norwegian numbers besides the test people's", count["NO ordinary"]-5)
	}
	t.Logf("%v", count)
}

// checkDigits looks at the text itself, so that numbers of bad rows are seen
// as well: ten digits or more in a row are of one of the ranges, the synthetic
// one perhaps without its leading zero, or Icelandic of the 1800s (8 at the end).
func checkDigits(t *testing.T, text []byte) {
	for _, run := range regexp.MustCompile(`\d{10,}`).FindAllString(string(text), -1) {
		full := strings.Repeat("0", max(0, 11-len(run))) + run
		norwegian := strings.HasPrefix(run, "0101075") || full[2] == '8' || full[2] == '9'
		danish := len(run) == 10 && run[6] >= '5' && run[6] <= '8' && run[4] >= '8'
		swedish := len(run) == 12 && strings.HasPrefix(run, "189")
		if !norwegian && !danish && !swedish && run != "0506870008" {
			t.Errorf("%d digits in a row of no range that is nobody's", len(run))
		}
	}
}

func checkOrders(t *testing.T, jobs []queue.Job) {
	reports, expands, languages := 0, 0, map[string]int{}
	for _, j := range jobs {
		if !regexp.MustCompile(`^C-\d{6}$`).MatchString(j.CustomerRef) {
			t.Errorf("reference %s", j.CustomerRef)
		}
		if j.Report {
			reports++
			languages[j.Language]++
		}
		if len(j.Expands) != len(queue.DefaultExpands()) {
			expands++
		}
	}
	if share := float64(reports) / float64(len(jobs)); share < 0.18 || share > 0.23 {
		t.Errorf("%d of %d rows order the report", reports, len(jobs))
	}
	for _, l := range queue.Languages() {
		if languages[l] < 5 {
			t.Errorf("%d reports in %s", languages[l], l)
		}
	}
	if expands < 20 || expands > len(jobs)/5 {
		t.Errorf("%d rows with expands of their own", expands)
	}
}

func checkNames(t *testing.T, jobs []queue.Job) {
	all, longest := "", 0
	for _, j := range jobs {
		all += j.FirstName.Reveal() + j.LastName.Reveal()
		longest = max(longest, utf8.RuneCountInString(j.LastName.Reveal()))
	}
	for _, c := range "æøåäöÆØÅÖéü-',\" " {
		if !strings.ContainsRune(all, c) {
			t.Errorf("no name with %q", c)
		}
	}
	if longest < 100 {
		t.Errorf("the longest name has %d characters", longest)
	}
}
