package nationalid

import "rescreen/apiclient/personal"

// finnishControl holds the control characters by remainder; letters that could
// be taken for digits are left out.
const finnishControl = "0123456789ABCDEFHJKLMNPRSTUVWXY"

// parseFinnish reads a henkilötunnus, DDMMYYxZZZQ. The century sign x is part
// of the identity: two numbers can differ in it alone.
func parseFinnish(s string) (Number, error) {
	if len(s) != 11 { // bytes: whatever is not ASCII fails below
		return Number{}, ErrLength
	}
	s = capitals(s)
	if !onlyDigits(s[:6]) || !onlyDigits(s[7:10]) {
		return Number{}, ErrCharacter
	}
	century := finnishCentury(s[6])
	if century == 0 {
		return Number{}, ErrCentury
	}
	born, ok := date(century+number(s[4:6]), number(s[2:4]), number(s[0:2]))
	if !ok {
		return Number{}, ErrDate
	}
	individual := number(s[7:10])
	if individual < 2 {
		return Number{}, ErrSerial
	}
	if finnishControl[number(s[0:6]+s[7:10])%31] != s[10] {
		return Number{}, ErrCheckDigit
	}
	n := Number{kind: Ordinary, text: personal.Text(s), born: born}
	if individual >= 900 {
		n.kind, n.synthetic = Temporary, true
	}
	return n, nil
}

// finnishCentury returns the first year of the century a sign stands for, or 0
// for no sign. The letters besides A are valid since 2023-01-01.
func finnishCentury(sign byte) int {
	switch sign {
	case '+':
		return 1800
	case '-', 'Y', 'X', 'W', 'V', 'U':
		return 1900
	case 'A', 'B', 'C', 'D', 'E', 'F':
		return 2000
	default:
		return 0
	}
}

// capitals turns ASCII letters into capitals and leaves every other byte.
// Unicode's rules would make an S of U+017F.
func capitals(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}
