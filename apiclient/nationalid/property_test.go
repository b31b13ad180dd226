package nationalid_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rescreen/apiclient/nationalid"
	"rescreen/apiclient/nationalid/idtest"
	"rescreen/apiclient/personal"
)

// made is a generated number with what is known of it beforehand.
type made struct {
	country   nationalid.Country
	text      string
	kind      nationalid.Kind
	synthetic bool
	born      time.Time // zero: must not be derived
}

func day(from, to int) *rapid.Generator[time.Time] {
	first := time.Date(from, 1, 1, 0, 0, 0, 0, time.UTC)
	days := int(time.Date(to+1, 1, 1, 0, 0, 0, 0, time.UTC).Sub(first).Hours() / 24)
	return rapid.Custom(func(t *rapid.T) time.Time {
		return first.AddDate(0, 0, rapid.IntRange(0, days-1).Draw(t, "day"))
	})
}

var norwegian = rapid.Custom(func(t *rapid.T) made {
	// One row of the century table each: years and individual numbers.
	span := rapid.SampledFrom([][4]int{{1854, 1899, 500, 749}, {1900, 1999, 0, 499}, {1940, 1999, 900, 999}, {2000, 2039, 500, 999}}).Draw(t, "span")
	born := day(span[0], span[1]).Draw(t, "born")
	addDay := rapid.SampledFrom([]int{0, 0, 40}).Draw(t, "on the day")
	addMonth := rapid.SampledFrom([]int{0, 0, 80, 65, 40}).Draw(t, "on the month")
	remainder := rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "remainder")
	m := made{country: nationalid.Norway, kind: nationalid.Ordinary, synthetic: addMonth > 0, born: born}
	var ok bool
	for !ok {
		m.text, ok = idtest.Norwegian(born, rapid.IntRange(span[2], span[3]).Draw(t, "individual"), addDay, addMonth, remainder)
	}
	switch addMonth {
	case 80, 65:
		m.kind = nationalid.Synthetic
	case 40:
		m.kind, m.born = nationalid.AidNumber, time.Time{}
	}
	if addDay > 0 {
		m.kind = nationalid.DNumber
	}
	if addDay > 0 || remainder > 0 {
		m.born = time.Time{}
	}
	return m
})

var swedish = rapid.Custom(func(t *rapid.T) made {
	m := made{country: nationalid.Sweden, kind: nationalid.Ordinary, born: day(1800, 2099).Draw(t, "born")}
	add := rapid.SampledFrom([]int{0, 60}).Draw(t, "on the day")
	if add > 0 {
		m.kind = nationalid.Coordination
	}
	m.text = idtest.Swedish(m.born, rapid.IntRange(1, 999).Draw(t, "serial"), add)
	switch rapid.IntRange(0, 3).Draw(t, "form") {
	case 1:
		m.text = m.text[:8] + "-" + m.text[8:]
	case 2:
		m.text, m.born = m.text[2:8]+rapid.SampledFrom([]string{"-", "+"}).Draw(t, "sign")+m.text[8:], time.Time{}
	case 3:
		m.text, m.born = m.text[2:], time.Time{}
	}
	// A 29 February of 1900 or 1800 cannot come up; one of "00" read without
	// century is one of 2000.
	return m
})

var danish = rapid.Custom(func(t *rapid.T) made {
	span := rapid.SampledFrom([][4]int{{1900, 1999, 0, 3999}, {2000, 2036, 4000, 4999}, {1937, 1999, 4000, 4999}, {2000, 2057, 5000, 8999},
		{1858, 1899, 5000, 8999}, {2000, 2036, 9000, 9999}, {1937, 1999, 9000, 9999}}).Draw(t, "span")
	m := made{country: nationalid.Denmark, kind: nationalid.Ordinary, born: day(span[0], span[1]).Draw(t, "born")}
	m.text = idtest.Danish(m.born, rapid.IntRange(span[2], span[3]).Draw(t, "serial"))
	if rapid.Bool().Draw(t, "bare") {
		m.text = strings.Replace(m.text, "-", "", 1)
	}
	return m
})

var finnish = rapid.Custom(func(t *rapid.T) made {
	century := rapid.SampledFrom([]struct {
		from  int
		signs string
	}{{1800, "+"}, {1900, "-YXWVU"}, {2000, "ABCDEF"}}).Draw(t, "century")
	sign := rapid.SampledFrom([]byte(century.signs)).Draw(t, "sign")
	m := made{country: nationalid.Finland, kind: nationalid.Ordinary, born: day(century.from, century.from+99).Draw(t, "born")}
	individual := rapid.IntRange(2, 999).Draw(t, "individual")
	if individual >= 900 {
		m.kind, m.synthetic = nationalid.Temporary, true
	}
	m.text = idtest.Finnish(m.born, sign, individual)
	if rapid.Bool().Draw(t, "small letters") {
		m.text = strings.ToLower(m.text)
	}
	return m
})

var anyNumber = rapid.OneOf(norwegian, swedish, danish, finnish)

func TestWhatIsMadeByTheRulesParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyNumber.Draw(t, "number")
		n, err := nationalid.Parse(m.country, personal.Text(m.text))
		if err != nil {
			t.Fatal(err)
		}
		born, ok := n.BirthDate()
		if n.Kind() != m.kind || n.Synthetic() != m.synthetic || !born.Equal(m.born) || ok == m.born.IsZero() {
			t.Fatalf("%s, synthetic %v, born %v", n.Kind(), n.Synthetic(), born)
		}
		again, err := nationalid.Parse(m.country, personal.Text(n.Reveal()))
		if err != nil || again != n {
			t.Fatalf("the normalised form is another number: %v", err)
		}
	})
}

// Modulus 11 (Norway's second digit), modulus 31 and Luhn promise to find any
// single wrong digit; Denmark promises nothing, nor do century digits and signs.
func TestOneWrongDigitIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.OneOf(norwegian, swedish, finnish).Draw(t, "number")
		covered := m.text
		if m.country == nationalid.Sweden && len(strings.Trim(m.text, "0123456789")) == 0 && len(m.text) == 12 ||
			m.country == nationalid.Sweden && len(m.text) == 13 {
			covered = m.text[2:]
		}
		at := rapid.IntRange(0, len(covered)-1).Draw(t, "place") + len(m.text) - len(covered)
		old := m.text[at]
		if old < '0' || old > '9' {
			return
		}
		wrong := '0' + (old-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10
		_, err := nationalid.Parse(m.country, personal.Text(m.text[:at]+string(wrong)+m.text[at+1:]))
		switch {
		case err == nil:
			t.Fatal("the wrong digit is not found")
		case errors.Is(err, nationalid.ErrCheckDigit), errors.Is(err, nationalid.ErrDate), errors.Is(err, nationalid.ErrSerial):
		default:
			t.Fatalf("found as %v", err)
		}
	})
}

// Two neighbouring digits changed places: Norway's second control digit finds
// it wherever the two differ, as neighbouring weights differ modulo 11.
func TestSwappedNeighboursAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := []byte(norwegian.Draw(t, "number").text)
		at := rapid.IntRange(0, 9).Draw(t, "place")
		if s[at] == s[at+1] {
			return
		}
		s[at], s[at+1] = s[at+1], s[at]
		if _, err := nationalid.Parse(nationalid.Norway, personal.Text(s)); err == nil {
			t.Fatal("the swap is not found")
		}
	})
}

func TestMaskHidesEveryNumberAnywhere(t *testing.T) {
	between := []string{" ", "-", "+", " - ", "\u00a0", "\u2011", "\u2212", ".", "/", "_", "%20", "%2B", "\\u002d", "\\u00a0", "&nbsp;", "\t", "\n"}
	around := rapid.SampledFrom([]string{"", " ", "\"", "{\"ssn\":\"", "\"}", "x", "ssn=", "<ssn>", "</ssn>", "4", "47", ":", "é", "\xff", ", born "})
	rapid.Check(t, func(t *rapid.T) {
		m := anyNumber.Draw(t, "number")
		digits := onlyLettersAndDigits(m.text)
		text := m.text
		if m.country != nationalid.Finland && rapid.Bool().Draw(t, "parted") {
			at := len(digits) - 4
			if m.country == nationalid.Norway {
				at--
			}
			text = digits[:at] + rapid.SampledFrom(between).Draw(t, "separator") + digits[at:]
		}
		text = around.Draw(t, "before") + text + around.Draw(t, "after")
		got := nationalid.Mask(text)
		if !strings.Contains(got, nationalid.Masked) {
			t.Fatalf("nothing masked in %q", text)
		}
		// Digits that stood beside the number may be left over, its last four not.
		if rest := onlyLettersAndDigits(got); strings.Contains(rest, digits[len(digits)-4:]) {
			t.Fatalf("%q from %q", got, text)
		}
		if again := nationalid.Mask(got); again != got {
			t.Fatalf("masked twice it changes: %q, %q", got, again)
		}
	})
}

func onlyLettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return -1
	}, s)
}

func FuzzParse(f *testing.F) {
	for i, s := range []string{"01010750160", "41010750160", "01810750160", "02013299903", "701063-2391", "7010632391", "900101+9802", "18900101-9802",
		"010107-0001", "0101364001", "131052-308T", "131052y308t", "", "-----------", "131052-30ſ", "٠١٠١٠٧"} {
		f.Add(i%4, s)
	}
	f.Fuzz(func(t *testing.T, country int, s string) {
		c := nationalid.Countries()[uint(country)%4]
		n, err := nationalid.Parse(c, personal.Text(s))
		if err != nil {
			if len(s) > 5 && strings.Contains(err.Error(), s) {
				t.Fatalf("the error repeats the input: %v", err)
			}
			return
		}
		again, err := nationalid.Parse(c, personal.Text(n.Reveal()))
		if err != nil || again != n {
			t.Fatalf("the normalised form is another number: %v", err)
		}
		if got := nationalid.Mask(s); strings.Contains(got, s) {
			t.Fatalf("not masked: %q", s)
		}
		if c != nationalid.Denmark && !nationalid.Looks(s) {
			t.Fatalf("does not look like a number: %q", s)
		}
		if out := fmt.Sprintf("%v %+v %#v", n, n, n); strings.Contains(out, s) {
			t.Fatalf("printed: %s", out)
		}
	})
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{`{"message":"ssn 01010750160 is invalid"}`, "010107 50160", "131052-308T", "2026-03-01T12:00:00.123456Z", "\xff\xfe0", "%20%20", "12345678-1234"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := nationalid.Mask(s)
		if nationalid.Looks(got) || nationalid.Mask(got) != got {
			t.Fatalf("%q from %q", got, s)
		}
	})
}
