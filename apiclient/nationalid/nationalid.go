// Package nationalid knows the national identity numbers of Norway, Sweden,
// Denmark and Finland: whether a number can exist, what kind it is, and where
// a text may hold one.
//
// [Parse] is strict, because a number that cannot exist is a typing error that
// should be found before a session is paid for. [Mask] is generous, because a
// number that slips into a log cannot be called back. [Looks] stands between:
// see there what it costs.
//
// Nothing in this package knows today's date. A number that is possible on
// some day is possible, and a birth date that depends on the day the number
// was written is not derived.
package nationalid

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"rescreen/apiclient/personal"
)

// Country is the country that issued a number: ISO 3166-1 alpha-2, capitals.
type Country string

// The countries whose numbers the API takes.
const (
	Norway  Country = "NO"
	Sweden  Country = "SE"
	Denmark Country = "DK"
	Finland Country = "FI"
)

// Countries returns the known countries, in the order of the documentation.
func Countries() []Country { return []Country{Norway, Sweden, Denmark, Finland} }

// Kind says to which series a number belongs.
type Kind int

// The kinds. A D-number of a test series is a DNumber for which
// [Number.Synthetic] holds.
const (
	Ordinary     Kind = iota + 1 // of a person in the national register
	DNumber                      // NO: day + 40, of a person not settled in the country
	Coordination                 // SE: samordningsnummer, day + 60, likewise
	Temporary                    // FI: individual number 900–999, never in the population register
	AidNumber                    // NO: month + 40, H-number of a hospital; the Dolly test series looks the same
	Synthetic                    // NO: month + 80 (Tenor, Test-Norge) or + 65 (Norsk helsenett): of nobody
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case Ordinary:
		return "ordinary"
	case DNumber:
		return "D-number"
	case Coordination:
		return "coordination number"
	case Temporary:
		return "temporary number"
	case AidNumber:
		return "aid number"
	case Synthetic:
		return "synthetic number"
	default:
		return "no number"
	}
}

// What can be wrong with a number. [Parse] returns one of these, wrapped with
// the country; no error holds any part of the number.
var (
	ErrCountry    = errors.New("country without known national ids (known: NO SE DK FI)")
	ErrCharacter  = errors.New("character that does not belong there")
	ErrLength     = errors.New("wrong length")
	ErrDate       = errors.New("date that does not exist")
	ErrCentury    = errors.New("unknown century")
	ErrSerial     = errors.New("serial that is never given out")
	ErrCheckDigit = errors.New("control digit does not fit")
)

// Number is a number that can exist. Two numbers are equal (==) exactly if
// country and normalised form are. The zero Number is none.
//
// A Number prints as [personal.Redacted] whatever prints it.
type Number struct {
	country   Country
	kind      Kind
	synthetic bool
	text      personal.Text
	born      time.Time // zero if not derivable
}

// Parse reads s as a number of country. It takes the forms in which each
// country writes its numbers and nothing around them:
//
//	NO  DDMMYYNNNKK
//	SE  YYMMDD-NNNC  YYMMDD+NNNC  YYMMDDNNNC  YYYYMMDDNNNC  YYYYMMDD-NNNC
//	DK  DDMMYY-SSSS  DDMMYYSSSS
//	FI  DDMMYYxZZZQ  (x a century sign, letters in any case)
//
// An error is one of the sentinels of this package, wrapped.
func Parse(country Country, s personal.Text) (Number, error) {
	n, err := parse(country, s.Reveal())
	switch {
	case errors.Is(err, ErrCountry):
		// The value is not repeated: a file with shifted columns may have a
		// number here.
		return Number{}, err
	case err != nil:
		return Number{}, fmt.Errorf("%s national id: %w", country, err)
	default:
		return n, nil
	}
}

// parse is Parse with bare sentinels.
func parse(country Country, s string) (n Number, err error) {
	switch country {
	case Norway:
		n, err = parseNorwegian(s)
	case Sweden:
		n, err = parseSwedish(s)
	case Denmark:
		n, err = parseDanish(s)
	case Finland:
		n, err = parseFinnish(s)
	default:
		return Number{}, ErrCountry
	}
	if err != nil {
		return Number{}, err
	}
	n.country = country
	return n, nil
}

// Country returns the issuing country.
func (n Number) Country() Country { return n.country }

// Kind returns the series of the number.
func (n Number) Kind() Kind { return n.kind }

// Synthetic reports whether the number belongs to a series that is never given
// to a person in a national register: NO month + 80, + 65 or + 40 (the last
// shared with H-numbers), FI 900–999. Sweden and Denmark have no such series
// that could be told from the number alone.
func (n Number) Synthetic() bool { return n.synthetic }

// BirthDate returns the birth date, at midnight UTC, and whether the number
// tells it. It does not for D-numbers (the date may be that of registration),
// aid numbers, Norwegian numbers of the rules of 2032 (no century) and Swedish
// numbers in ten digits (the century depends on the day of writing).
//
// Swedish dates may be some days off: when the serials of a day run out,
// those of a neighbouring day are given. A Norwegian number given out from
// 2032 on that by chance also fits the old rules is read by the old ones.
func (n Number) BirthDate() (time.Time, bool) { return n.born, !n.born.IsZero() }

// Reveal returns the normalised form: NO eleven digits; SE twelve digits, or
// YYMMDD-NNNC (or +) where the century is not known; DK DDMMYY-SSSS; FI eleven
// characters in capitals. It parses to the same Number again.
func (n Number) Reveal() string { return n.text.Reveal() }

// String returns [personal.Redacted], or "" for the zero Number.
func (n Number) String() string { return n.text.String() }

// Format implements fmt.Formatter: no verb and no flag shows the number.
func (n Number) Format(f fmt.State, verb rune) { _, _ = fmt.Fprint(f, n.String()) }

// LogValue implements slog.LogValuer.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.String()) }

// MarshalText implements encoding.TextMarshaler with the redacted form: the
// wire carries the text a number was parsed from, never a Number.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// onlyDigits reports whether every byte of s is an ASCII digit.
func onlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// number returns the value of a run of ASCII digits.
func number(digits string) int {
	v := 0
	for i := range len(digits) {
		v = v*10 + int(digits[i]-'0')
	}
	return v
}

// weighted returns the sum of the digits times the weights.
func weighted(digits string, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += w * int(digits[i]-'0')
	}
	return sum
}

// date returns a day of the calendar, and whether it exists.
func date(year, month, day int) (time.Time, bool) {
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return t, t.Month() == time.Month(month) && t.Day() == day && day > 0
}

// dateOfSomeCentury reports whether the day exists in a year that ends in yy.
// 2000 was a leap year, so the years from there stand for all centuries.
func dateOfSomeCentury(yy, month, day int) bool {
	_, ok := date(2000+yy, month, day)
	return ok
}
