package nationalid

import "rescreen/apiclient/personal"

// parseDanish reads a CPR number, DDMMYY-SSSS with or without the hyphen. It
// has no control digit to fail: numbers outside modulus 11 are given out since
// 2007, and the CPR office asks not to refuse them.
func parseDanish(s string) (Number, error) {
	if len(s) > 6 && s[6] == '-' {
		s = s[:6] + s[7:]
	}
	if !onlyDigits(s) {
		return Number{}, ErrCharacter
	}
	if len(s) != 10 {
		return Number{}, ErrLength
	}
	yy := number(s[4:6])
	born, ok := date(danishCentury(s[6], yy)+yy, number(s[2:4]), number(s[0:2]))
	if !ok {
		return Number{}, ErrDate
	}
	return Number{kind: Ordinary, text: personal.Text(s[:6] + "-" + s[6:]), born: born}, nil
}

// danishCentury returns the first year of the century that the seventh digit
// tells together with the year. Source: cpr.dk, Opbygning af CPR-nummeret.
func danishCentury(seventh byte, yy int) int {
	switch {
	case seventh <= '3':
		return 1900
	case seventh == '4' || seventh == '9':
		if yy <= 36 {
			return 2000
		}
		return 1900
	case yy <= 57:
		return 2000
	default:
		return 1800
	}
}

// danishModulus11 reports whether ten digits pass the old control, which says
// something for the number and nothing against it.
func danishModulus11(digits string) bool {
	return weighted(digits, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}
