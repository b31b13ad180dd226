package nationalid

import (
	"rescreen/apiclient/personal"
)

// parseSwedish reads a personnummer or, with day + 60, a samordningsnummer, in
// ten or twelve digits, with or without the sign before the last four.
//
// Without a century the sign is kept, and a missing one is read as "-": "+"
// says that the person turned 100, which is never left out. With the century
// the sign says nothing more and is dropped.
func parseSwedish(s string) (Number, error) {
	head, serial, sign, err := splitSwedish(s)
	if err != nil {
		return Number{}, err
	}
	var century int
	if len(head) == 8 {
		switch century = number(head[:2]) * 100; century {
		case 1800, 1900, 2000:
		default:
			return Number{}, ErrCentury
		}
	}
	short := head[len(head)-6:]
	yy, month, day := number(short[0:2]), number(short[2:4]), number(short[4:6])
	n := Number{kind: Ordinary}
	if day > 60 {
		n.kind, day = Coordination, day-60
	}
	if century == 0 {
		if !dateOfSomeCentury(yy, month, day) {
			return Number{}, ErrDate
		}
		n.text = personal.Text(short + sign + serial)
	} else {
		var ok bool
		if n.born, ok = date(century+yy, month, day); !ok {
			return Number{}, ErrDate
		}
		n.text = personal.Text(head + serial)
	}
	if serial[:3] == "000" {
		return Number{}, ErrSerial
	}
	if !luhn(short + serial) {
		return Number{}, ErrCheckDigit
	}
	return n, nil
}

// splitSwedish returns the six or eight digits of the date, the last four
// digits and the sign between them.
func splitSwedish(s string) (head, serial, sign string, err error) {
	sign = "-"
	if at := len(s) - 5; at >= 0 && (s[at] == '-' || s[at] == '+') {
		sign = s[at : at+1]
		s = s[:at] + s[at+1:]
	}
	if !onlyDigits(s) {
		return "", "", "", ErrCharacter
	}
	if len(s) != 10 && len(s) != 12 {
		return "", "", "", ErrLength
	}
	return s[:len(s)-4], s[len(s)-4:], sign, nil
}

// luhn checks ten digits by modulus 10 with the weights 2 and 1, where a
// product of two digits counts as their sum.
func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		v := int(digits[i]-'0') * (2 - i%2)
		sum += v/10 + v%10
	}
	return sum%10 == 0
}
