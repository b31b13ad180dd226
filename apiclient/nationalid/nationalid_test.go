package nationalid_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/personal"
)

// The vectors of the sources: the API's test people, Skatteetaten's examples
// of the rules of 2032, the published examples of the other countries. None
// is a number of a living person.
func TestParse(t *testing.T) {
	const no, se, dk, fi = nationalid.Norway, nationalid.Sweden, nationalid.Denmark, nationalid.Finland
	for _, c := range []struct {
		name       string
		country    nationalid.Country
		in         string
		kind       nationalid.Kind
		synthetic  bool
		born, norm string // "" for no birth date, "" for the same as in
	}{
		{"test person Tomas Topstad", no, "01010750160", nationalid.Ordinary, false, "2007-01-01", ""},
		{"test person Kari Klaven", no, "01010750241", nationalid.Ordinary, false, "2007-01-01", ""},
		{"test person Kris Psa Granum", no, "01010750322", nationalid.Ordinary, false, "2007-01-01", ""},
		{"test person Morten Holm", no, "01010751388", nationalid.Ordinary, false, "2007-01-01", ""},
		{"test person Mia Holm", no, "01010751469", nationalid.Ordinary, false, "2007-01-01", ""},
		{"older test person", no, "10076649893", nationalid.Ordinary, false, "1966-07-10", ""},
		{"older test person", no, "23034218595", nationalid.Ordinary, false, "1942-03-23", ""},
		{"older test person", no, "10047122177", nationalid.Ordinary, false, "1971-04-10", ""},
		{"older test person", no, "17013827222", nationalid.Ordinary, false, "1938-01-17", ""},
		{"2032 rules, remainder 0, old century table still reads it", no, "02013299997", nationalid.Ordinary, false, "2032-01-02", ""},
		{"2032 rules, remainder 2", no, "02013299903", nationalid.Ordinary, false, "", ""},
		{"2032 rules, remainder 0", no, "02013299806", nationalid.Ordinary, false, "2032-01-02", ""},
		{"2032 rules, remainder 0", no, "30108299920", nationalid.Ordinary, false, "1982-10-30", ""},
		{"2032 rules, remainder 1", no, "30108299939", nationalid.Ordinary, false, "", ""},

		{"example of the tax agency's rules, short", se, "701063-2391", nationalid.Coordination, false, "", ""},
		{"the same without hyphen", se, "7010632391", nationalid.Coordination, false, "", "701063-2391"},
		{"tax agency's list of test numbers", se, "189001019802", nationalid.Ordinary, false, "1890-01-01", ""},
		{"the same with hyphen", se, "18900101-9802", nationalid.Ordinary, false, "1890-01-01", "189001019802"},
		{"the same with plus", se, "18900101+9802", nationalid.Ordinary, false, "1890-01-01", "189001019802"},
		{"the same short: the plus matters", se, "900101+9802", nationalid.Ordinary, false, "", ""},
		{"tax agency's list of test numbers", se, "199001012385", nationalid.Ordinary, false, "1990-01-01", ""},
		{"coordination number in twelve digits", se, "191401682396", nationalid.Coordination, false, "1914-01-08", ""},

		{"seventh digit 0: 1900s", dk, "010107-0001", nationalid.Ordinary, false, "1907-01-01", ""},
		{"seventh digit 4, year 36: 2000s", dk, "0101364001", nationalid.Ordinary, false, "2036-01-01", "010136-4001"},
		{"seventh digit 4, year 37: 1900s", dk, "010137-4001", nationalid.Ordinary, false, "1937-01-01", ""},
		{"seventh digit 9, year 36: 2000s", dk, "010136-9001", nationalid.Ordinary, false, "2036-01-01", ""},
		{"seventh digit 9, year 37: 1900s", dk, "010137-9001", nationalid.Ordinary, false, "1937-01-01", ""},
		{"seventh digit 5, year 57: 2000s", dk, "010157-5001", nationalid.Ordinary, false, "2057-01-01", ""},
		{"seventh digit 8, year 58: 1800s", dk, "010158-8001", nationalid.Ordinary, false, "1858-01-01", ""},

		{"the published example", fi, "131052-308T", nationalid.Ordinary, false, "1952-10-13", ""},
		{"small letters", fi, "131052-308t", nationalid.Ordinary, false, "1952-10-13", "131052-308T"},
		{"1800s", fi, "131052+308T", nationalid.Ordinary, false, "1852-10-13", ""},
		{"2000s", fi, "131052A308T", nationalid.Ordinary, false, "2052-10-13", ""},
		{"1900s, sign of 2023", fi, "131052Y308T", nationalid.Ordinary, false, "1952-10-13", ""},
		{"1900s, last sign of 2023", fi, "131052U308T", nationalid.Ordinary, false, "1952-10-13", ""},
		{"2000s, sign of 2023", fi, "131052F308T", nationalid.Ordinary, false, "2052-10-13", ""},
		{"temporary", fi, "010280-952L", nationalid.Temporary, true, "1980-02-01", ""},
	} {
		t.Run(fmt.Sprintf("%s/%s", c.country, c.name), func(t *testing.T) {
			n, err := nationalid.Parse(c.country, personal.Text(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if n.Kind() != c.kind || n.Synthetic() != c.synthetic || n.Country() != c.country {
				t.Errorf("%s, synthetic %v, of %s", n.Kind(), n.Synthetic(), n.Country())
			}
			born := ""
			if b, ok := n.BirthDate(); ok {
				born = b.Format("2006-01-02")
			}
			if born != c.born {
				t.Errorf("born %q, not %q", born, c.born)
			}
			if c.norm == "" {
				c.norm = c.in
			}
			if n.Reveal() != c.norm {
				t.Errorf("normalised to %s, not %s", n.Reveal(), c.norm)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const no, se, dk, fi = nationalid.Norway, nationalid.Sweden, nationalid.Denmark, nationalid.Finland
	for _, c := range []struct {
		name    string
		country nationalid.Country
		in      string
		want    error
	}{
		{"no country", "", "01010750160", nationalid.ErrCountry},
		{"unknown country", "IS", "01010750160", nationalid.ErrCountry},
		{"country in small letters", "no", "01010750160", nationalid.ErrCountry},
		{"nothing", no, "", nationalid.ErrLength},
		{"lost leading zero", no, "1010750160", nationalid.ErrLength},
		{"too long", no, "010107501601", nationalid.ErrLength},
		{"letter O", no, "O1010750160", nationalid.ErrCharacter},
		{"separator", no, "010107 50160", nationalid.ErrCharacter},
		{"digits of another script", no, "٠١٠١٠٧٥٠١٦٠", nationalid.ErrCharacter},
		{"31 February", no, "31020750160", nationalid.ErrDate},
		{"day 0", no, "00010750160", nationalid.ErrDate},
		{"month 13", no, "01130750160", nationalid.ErrDate},
		{"month 60, of no series", no, "01600750160", nationalid.ErrDate},
		{"FH-number", no, "81010750160", nationalid.ErrDate},
		{"second control digit", no, "01010750161", nationalid.ErrCheckDigit},
		{"first control digit, remainder 9", no, "01010750259", nationalid.ErrCheckDigit},

		{"nothing", se, "", nationalid.ErrLength},
		{"eleven digits", se, "19900101238", nationalid.ErrLength},
		{"hyphen elsewhere", se, "90-01012385", nationalid.ErrCharacter},
		{"two signs", se, "900101--2385", nationalid.ErrCharacter},
		{"century 17", se, "179001012385", nationalid.ErrCentury},
		{"century 21", se, "219001012385", nationalid.ErrCentury},
		{"day 60", se, "701060-2391", nationalid.ErrDate},
		{"day 32", se, "199001322385", nationalid.ErrDate},
		{"29 February 1900", se, "190002292385", nationalid.ErrDate},
		{"serial 000", se, "900101-0007", nationalid.ErrSerial},
		{"control digit", se, "701063-2392", nationalid.ErrCheckDigit},

		{"nothing", dk, "", nationalid.ErrLength},
		{"nine digits", dk, "101075016", nationalid.ErrLength},
		{"two hyphens", dk, "010107--501", nationalid.ErrCharacter},
		{"plus", dk, "010107+5016", nationalid.ErrCharacter},
		{"31 April", dk, "310407-5016", nationalid.ErrDate},
		{"29 February 1900", dk, "290200-1001", nationalid.ErrDate},

		{"nothing", fi, "", nationalid.ErrLength},
		{"without sign", fi, "131052308T", nationalid.ErrLength},
		{"unknown sign", fi, "131052G308T", nationalid.ErrCentury},
		{"sign of two bytes", fi, "131052Å308", nationalid.ErrCharacter},
		{"letter that only Unicode makes an S", fi, "131052-30ſ", nationalid.ErrCharacter},
		{"31 September", fi, "310952-308T", nationalid.ErrDate},
		{"individual number 001", fi, "131052-001B", nationalid.ErrSerial},
		{"control character", fi, "131052-308U", nationalid.ErrCheckDigit},
		{"control character out of the alphabet", fi, "131052-308O", nationalid.ErrCheckDigit},
	} {
		t.Run(fmt.Sprintf("%s/%s", c.country, c.name), func(t *testing.T) {
			n, err := nationalid.Parse(c.country, personal.Text(c.in))
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, not %v", err, c.want)
			}
			if n != (nationalid.Number{}) {
				t.Error("a number comes with the error")
			}
			if c.in != "" && strings.Contains(err.Error(), c.in) {
				t.Errorf("the error shows the number: %v", err)
			}
		})
	}
}

func TestNothingPrintsTheNumber(t *testing.T) {
	n, err := nationalid.Parse(nationalid.Norway, "01010750160")
	if err != nil {
		t.Fatal(err)
	}
	type row struct{ ID nationalid.Number }
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", n)
		fmt.Fprintf(&out, verb+"\n", row{n})
		fmt.Fprintf(&out, verb+"\n", []*nationalid.Number{&n}[0])
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("row", "id", n)
	if err := json.NewEncoder(&out).Encode(row{n}); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "50160") || strings.Contains(s, fmt.Sprintf("%x", "50160")) {
		t.Errorf("the number is shown:\n%s", s)
	}
	if (nationalid.Number{}).String() != "" {
		t.Error("the zero Number prints something")
	}
}

func TestKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := nationalid.Ordinary; k <= nationalid.Synthetic; k++ {
		seen[k.String()] = true
	}
	if len(seen) != 6 || seen[nationalid.Kind(0).String()] {
		t.Errorf("names: %v", seen)
	}
}
