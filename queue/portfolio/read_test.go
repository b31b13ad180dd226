package portfolio

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"rescreen/apiclient/nationalid"
	"rescreen/queue"
)

// readAll reads a whole file. Rejects come back as "row column: reason".
func readAll(t testing.TB, in io.Reader, o Options) (jobs []queue.Job, rejects []string, counts Counts) {
	t.Helper()
	r, err := Open(in, o)
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if row.Reject != nil {
			rejects = append(rejects, fmt.Sprintf("%d %s: %s", row.Reject.Row, row.Reject.Column, row.Reject.Reason))
			continue
		}
		jobs = append(jobs, row.Job)
	}
	counts = r.Counts()
	if counts.Jobs != len(jobs) || counts.Rejected != len(rejects) || counts.Rows != counts.Jobs+counts.Rejected {
		t.Errorf("counts %+v for %d jobs and %d rejects", counts, len(jobs), len(rejects))
	}
	return jobs, rejects, counts
}

func refs(jobs []queue.Job) string {
	var all []string
	for _, j := range jobs {
		all = append(all, j.CustomerRef)
	}
	return strings.Join(all, " ")
}

const head = "customer_ref,first_name,last_name,date_of_birth\n"

func TestFormsOfCSV(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     string
		blank    int
	}{
		{"plain", head + "C-1,Ola,Berg,1990-01-02\nC-2,Kari,Dal,1990-01-02\n", "C-1 C-2", 0},
		{"last line without end", head + "C-1,Ola,Berg,1990-01-02", "C-1", 0},
		{"semicolons", strings.ReplaceAll(head+"C-1,Ola,Berg,1990-01-02\n", ",", ";"), "C-1", 0},
		{"semicolons around a comma", strings.ReplaceAll(head, ",", ";") + "C-1;Ola;\"Berg, Jr\";1990-01-02\n", "C-1", 0},
		{"CRLF", strings.ReplaceAll(head+"C-1,Ola,Berg,1990-01-02\n", "\n", "\r\n"), "C-1", 0},
		{"byte order mark", "\ufeff" + head + "C-1,Ola,Berg,1990-01-02\n", "C-1", 0},
		{"Excel's separator line", "sep=;\r\ncustomer_ref;first_name;last_name;ssn\r\nC-1;Ola;Berg;01010750160\r\n", "C-1", 0},
		{"header quoted, in capitals, with blanks", "\"Customer_Ref\", FIRST_NAME ,last_name,date_of_birth\nC-1,Ola,Berg,1990-01-02\n", "C-1", 0},
		{"any order", "date_of_birth,last_name,customer_ref,first_name\n1990-01-02,Berg,C-1,Ola\n", "C-1", 0},
		{"blank lines", "\n" + head + "\n \nC-1,Ola,Berg,1990-01-02\n,,,\n\"\",,,\n\r\n\n", "C-1", 7},
		{"nothing but a header", head, "", 0},
		{"field over several lines", head + "C-1,\"Ola\n\",\"\r\n\r\nBerg\",1990-01-02\nC-2,Kari,Dal,1990-01-02\n", "C-1 C-2", 0},
		{"quotes and commas in fields", head + "C-1,\"Ola \"\"Olle\"\"\", \"Berg, Jr\" ,1990-01-02\n", "C-1", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			jobs, rejects, counts := readAll(t, strings.NewReader(c.in), Options{})
			if refs(jobs) != c.want || len(rejects) > 0 || counts.Blank != c.blank {
				t.Errorf("jobs %q, rejects %q, %d blank", refs(jobs), rejects, counts.Blank)
			}
			again, _, _ := readAll(t, iotest.OneByteReader(strings.NewReader(c.in)), Options{})
			if refs(again) != c.want {
				t.Errorf("read byte by byte: %q", refs(again))
			}
		})
	}
}

func TestEveryColumnBecomesItsMember(t *testing.T) {
	in := strings.Join(Columns(), ";") + "\n" +
		"C-1;Kris Psa;\"Granum;Å\";2007-01-01;189001019802;se;NO;aml | roles address.postal;Yes;EN\n" +
		"C-2;Kari;Dal;2007-01-01;;;;;;\n"
	jobs, rejects, _ := readAll(t, strings.NewReader(in), Options{})
	if len(jobs) != 2 {
		t.Fatalf("rejects: %q", rejects)
	}
	want := queue.Job{
		ID: JobID("C-1"), CustomerRef: "C-1", FirstName: "Kris Psa", LastName: "Granum;Å", DateOfBirth: "2007-01-01", SSN: "189001019802",
		SSNCountry: nationalid.Sweden, Country: "no", Expands: []string{"aml", "roles", "address.postal"}, Report: true, Language: "en", Attempt: 1,
	}
	if !equalJobs(jobs[0], want) {
		t.Errorf("%+v, not %+v", jobs[0], want)
	}
	want = queue.Job{ID: JobID("C-2"), CustomerRef: "C-2", FirstName: "Kari", LastName: "Dal", DateOfBirth: "2007-01-01"}.WithDefaults()
	if !equalJobs(jobs[1], want) {
		t.Errorf("%+v, not %+v", jobs[1], want)
	}
}

func equalJobs(a, b queue.Job) bool {
	expands := slices.Equal(a.Expands, b.Expands)
	a.Expands, b.Expands = nil, nil
	x, y := fmt.Sprintf("%+v", a), fmt.Sprintf("%+v", b)
	return expands && x == y && a.FirstName == b.FirstName && a.LastName == b.LastName && a.DateOfBirth == b.DateOfBirth && a.SSN == b.SSN
}

func TestJobIDOfAReference(t *testing.T) {
	// printf %s C-000123 | sha256sum | cut -c-32
	if got := JobID("C-000123"); got != "1913c851c5d210f1f176c0a95f5894cc" {
		t.Errorf("%s", got)
	}
}

func TestRejectsOfCSV(t *testing.T) {
	const good = "C-9,Kari,Dal,1990-01-02\n"
	for _, c := range []struct{ name, row, want string }{
		{"too few columns", "C-1,Ola,Berg", "2 : has 3 columns, the header has 4"},
		{"too many columns", "C-1,Ola,Berg,1990-01-02,", "2 : has 5 columns, the header has 4"},
		{"no last name", "C-1,Ola, ,1990-01-02", "2 last_name: is missing"},
		{"impossible date", "C-1,Ola,Berg,1990-02-30", "2 date_of_birth: is not a date in the form YYYY-MM-DD"},
		{"neither date nor ssn", "C-1,Ola,Berg,", "2 date_of_birth: is missing, and so is ssn"},
		{"reference is a national id", "01010750160,Ola,Berg,1990-01-02", "2 customer_ref: reads as a national identity number"},
		{"Latin-1", "C-1,\xd8ystein,Berg,1990-01-02", "2 first_name: is not UTF-8 (perhaps Latin-1): save the file as UTF-8"},
		{"quote within a field", "C-1,Ola \"Olle\",Berg,1990-01-02", "2 : has a quote within a field without quotes around it: quote the field and double its quotes"},
		{"text behind a quote", "C-1,\"Ola\" Olle,Berg,1990-01-02", "2 : has text behind a closing quote: double the quotes within a field"},
		{"quote never closed", "C-1,\"Ola,Berg,1990-01-02", "2 : has a quote that is not closed"},
		{"line break in a name", "C-1,\"Ola\nOlsen\",Berg,1990-01-02", "2 first_name: holds a control character"},
		{"too long", "C-1," + strings.Repeat("x", MaxRowBytes) + ",Berg,1990-01-02", "2 : is longer than 65536 bytes"},
		{"longer than any buffer", strings.Repeat("x", 5*MaxRowBytes), "2 : is longer than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			jobs, rejects, _ := readAll(t, strings.NewReader(head+c.row+"\n"+good), Options{})
			if refs(jobs) != "C-9" || !slices.Equal(rejects, []string{c.want}) {
				t.Errorf("jobs %q, rejects %q, not %q", refs(jobs), rejects, c.want)
			}
		})
	}
}

// A quote that nobody closes must cost its own row and no other, whatever the
// rows behind it hold.
func TestOpenQuoteSwallowsNoRow(t *testing.T) {
	const open = "C-0,\"Ola,Berg,1990-01-02\n"
	for _, c := range []struct {
		name, behind, want string
		rejects            int
	}{
		{"at the end of the file", "", "", 1},
		{"before plain rows", "C-1,Ola,Berg,1990-01-02\nC-2,Kari,Dal,1990-01-02\n", "C-1 C-2", 1},
		{"before quoted rows", "C-1,\"Ola\",\"Berg, Jr\",1990-01-02\nC-2,\"Kari\",Dal,1990-01-02\n", "C-1 C-2", 1},
		{"before a row with an empty quoted cell", "C-1,Ola,Berg,1990-01-02\nC-2,Ola,Berg,\"\"\n", "C-1", 2},
		{"before a stray quote that closes it", "C-1,Ola,Berg,1990-01-02\nC-2,Kari\",Dal,1990-01-02\nC-3,Kim,Lie,1990-01-02\n", "C-1 C-3", 2},
		{"before another open quote", open + "C-1,Ola,Berg,1990-01-02\n", "C-1", 2},
		{"before more blank lines than a row may have", strings.Repeat("\n", MaxRowLines) + "C-1,Ola,Berg,1990-01-02\n", "C-1", 1},
		{"before a line that is too long", strings.Repeat("x", MaxRowBytes+1) + "\nC-1,Ola,Berg,1990-01-02\n", "C-1", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			jobs, rejects, _ := readAll(t, strings.NewReader(head+open+c.behind), Options{})
			if refs(jobs) != c.want || len(rejects) != c.rejects {
				t.Errorf("jobs %q, rejects %q", refs(jobs), rejects)
			}
		})
	}
}

func TestDuplicates(t *testing.T) {
	in := head + "C-1,Ola,Berg,1990-01-02\nC-2,Ola,Berg,\nC-1,Ola,Berg,1990-01-02\nC-2,Ola,Berg,1990-01-02\nC-1,Ola,Berg,never\n"
	jobs, rejects, counts := readAll(t, strings.NewReader(in), Options{})
	want := []string{"3 date_of_birth: is missing, and so is ssn", "4 customer_ref: seen before", "6 date_of_birth: is not a date in the form YYYY-MM-DD"}
	// C-2 was no job before, so its second row is no duplicate.
	if refs(jobs) != "C-1 C-2" || !slices.Equal(rejects, want) || counts.Duplicates != 1 {
		t.Errorf("jobs %q, rejects %q, %+v", refs(jobs), rejects, counts)
	}
}

func TestTestNumbersAreRefusedIfAsked(t *testing.T) {
	const in = "customer_ref,first_name,last_name,ssn,ssn_country\nC-1,Ola,Berg,01010750160,NO\nC-2,Kari,Dal,010280-952L,FI\n"
	jobs, _, _ := readAll(t, strings.NewReader(in), Options{})
	if refs(jobs) != "C-1 C-2" {
		t.Errorf("jobs %q", refs(jobs))
	}
	jobs, rejects, _ := readAll(t, strings.NewReader(in), Options{RefuseTestNumbers: true})
	if refs(jobs) != "C-1" || !slices.Equal(rejects, []string{"3 ssn: is a test number"}) {
		t.Errorf("jobs %q, rejects %q", refs(jobs), rejects)
	}
}

func TestNDJSON(t *testing.T) {
	const good = `{"customer_ref":"C-9","first_name":"Kari","last_name":"Dal","date_of_birth":"1990-01-02"}`
	for _, c := range []struct{ name, row, want string }{
		{"array of members", `["C-1"]`, "2 : is not a JSON object"},
		{"empty object", `{}`, "2 customer_ref: is missing"},
		{"broken", `{"customer_ref":"C-1","first_name":"Ola}`, "2 : is not valid JSON near byte 41"},
		{"cut short", `{"customer_ref":"C-1"`, "2 : is not valid JSON near byte 21"},
		{"unknown member", `{"customer_ref":"C-1","customerRef":"C-1"}`, "2 : has an unknown member, number 2 in the object, meant as customer_ref?"},
		{"id", `{"id":"x","customer_ref":"C-1","first_name":"Ola","last_name":"Berg","date_of_birth":"1990-01-02"}`, "2 id: does not belong in a portfolio: it is derived"},
		{"attempt", `{"attempt":2,"customer_ref":"C-1","first_name":"Ola","last_name":"Berg","date_of_birth":"1990-01-02"}`, "2 attempt: does not belong in a portfolio: it is derived"},
		{"member twice", `{"customer_ref":"C-1","customer_ref":"C-2","first_name":"Ola","last_name":"Berg"}`, "2 customer_ref: is given twice"},
		{"two objects", `{"customer_ref":"C-1"}{"customer_ref":"C-2"}`, "2 : has something behind it"},
		{"brace too many", `{"customer_ref":"C-1"}}`, "2 : has something behind it"},
		{"wrong type", `{"customer_ref":"C-1","first_name":"Ola","last_name":"Berg","date_of_birth":"1990-01-02","report":"yes"}`, "2 report: is not true or false"},
		{"Latin-1", "{\"customer_ref\":\"C-1\",\"first_name\":\"\xd8ystein\"}", "2 : is not UTF-8 (perhaps Latin-1): save the file as UTF-8"},
		{"duplicate", good, "2 customer_ref: seen before"},
		{"too long", `{"customer_ref":"` + strings.Repeat("x", MaxRowBytes) + `"}`, "2 : is longer than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := strings.Replace(good, "C-9", "C-10", 1)
			jobs, rejects, counts := readAll(t, strings.NewReader("\ufeff"+good+"\r\n"+c.row+"\n \n"+last), Options{})
			if refs(jobs) != "C-9 C-10" || !slices.Equal(rejects, []string{c.want}) || counts.Blank != 1 {
				t.Errorf("jobs %q, rejects %q, not %q", refs(jobs), rejects, c.want)
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "portfolio: is empty"},
		{"blank", "\n \r\n\n", "portfolio: is empty"},
		{"byte order mark alone", "\ufeff", "portfolio: is empty"},
		{"UTF-16, little end first", "\xff\xfec\x00u\x00", "portfolio: is UTF-16: save it as UTF-8 (in Excel: \"CSV UTF-8\")"},
		{"UTF-16, big end first", "\xfe\xff\x00c\x00u", "portfolio: is UTF-16: save it as UTF-8 (in Excel: \"CSV UTF-8\")"},
		{"UTF-16 without mark", "c\x00u\x00s\x00", "portfolio: is UTF-16: save it as UTF-8 (in Excel: \"CSV UTF-8\")"},
		{"workbook", "PK\x03\x04", "portfolio: is a workbook or archive: save it as CSV (in Excel: \"CSV UTF-8\")"},
		{"Latin-1 header", "customer_ref;f\xf8dt\n", "portfolio: is not UTF-8: save it as UTF-8 (in Excel: \"CSV UTF-8\")"},
		{"JSON array", "[\n{}\n]", "portfolio: is a JSON array: write one object a line, without brackets and commas around them"},
		{"CR line ends", "customer_ref,ssn\rC-1,\r", "portfolio: ends its lines with CR alone: save it with LF or CRLF"},
		{"tabs", "customer_ref\tssn\n", "portfolio: has tabs between its columns: save it with commas or semicolons"},
		{"no header", "C-1,Ola,Berg,01010750160\n", "portfolio: has no header: its first line must name the columns, of " + strings.Join(Columns(), ", ")},
		{"only a separator line", "sep=;\n", "portfolio: has no header"},
		{"unknown column", "customer_ref,fornavn\n", `portfolio: column "fornavn" is unknown; known are ` + strings.Join(Columns(), ", ")},
		{"number in a header", "customer_ref,01010750160\n", `portfolio: column "[id]" is unknown; known are ` + strings.Join(Columns(), ", ")},
		{"column twice", "customer_ref,ssn,ssn\n", "portfolio: column ssn stands there twice"},
		{"column without name", "customer_ref,ssn,\n", "portfolio: column number 3 has no name"},
		{"id", "id,customer_ref\n", "portfolio: column id does not belong in a portfolio: it is derived"},
		{"column missing", "customer_ref,first_name,ssn\n", "portfolio: column last_name is missing"},
		{"neither date nor ssn", "customer_ref,first_name,last_name\n", "portfolio: has neither a column date_of_birth nor a column ssn"},
		{"quote in the header", "customer_ref,\"ssn\n", "portfolio: has a header that has a quote that is not closed"},
		{"endless header", "customer_ref," + strings.Repeat("x", MaxRowBytes), "portfolio: has a first line of more than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(strings.NewReader(c.in), Options{})
			if _, ok := errors.AsType[*FileError](err); !ok || err.Error() != c.want {
				t.Errorf("%v, not %s", err, c.want)
			}
		})
	}
}

func TestErrorOfReadingIsNotTheEnd(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, in := range []string{"", "cust", head, head + "C-1,Ola,Berg,1990-01-02\nC-2,Ola", head + "C-1,\"Ola\n", `{"customer_ref":"C-1"`} {
		r, err := Open(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), Options{})
		for err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, broken) {
			t.Errorf("%q ends with %v", in, err)
		}
		if r == nil {
			continue
		}
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Errorf("%q then goes on with %v", in, err)
		}
		if r.Counts().Jobs > 1 {
			t.Errorf("a row cut short became a job: %+v", r.Counts())
		}
	}
}
