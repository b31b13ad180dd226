package nationalid

import (
	"rescreen/apiclient/personal"
)

// parseNorwegian reads DDMMYYNNNKK: fødselsnummer, D-number (day + 40), aid
// number (month + 40) and the test series (month + 80, + 65, + 40), also
// combined with a D-number's day.
//
// FH-numbers (first digit 8 or 9, no date) are refused: they live in hospital
// systems, the population register does not know them.
func parseNorwegian(s string) (Number, error) {
	if !onlyDigits(s) {
		return Number{}, ErrCharacter
	}
	if len(s) != 11 {
		return Number{}, ErrLength
	}
	day, month, yy, individual := number(s[0:2]), number(s[2:4]), number(s[4:6]), number(s[6:9])
	dNumber := day > 40
	if dNumber {
		day -= 40
	}
	month, kind := norwegianSeries(month)
	if !dateOfSomeCentury(yy, month, day) {
		return Number{}, ErrDate
	}
	issue, ok := norwegianControl(s)
	if !ok {
		return Number{}, ErrCheckDigit
	}
	n := Number{kind: kind, synthetic: kind == Synthetic || kind == AidNumber, text: personal.Text(s)}
	if dNumber {
		n.kind = DNumber
		return n, nil
	}
	century := norwegianCentury(yy, individual)
	if issue == rules2032 || century == 0 {
		return n, nil
	}
	born, ok := date(century+yy, month, day)
	if !ok {
		return Number{}, ErrDate // 29 February 1900
	}
	if kind != AidNumber { // no source gives the century rule for these
		n.born = born
	}
	return n, nil
}

// norwegianSeries takes the addition off the month and names the series. A
// month of no series comes back unchanged, as no month.
func norwegianSeries(month int) (int, Kind) {
	switch {
	case 81 <= month && month <= 92:
		return month - 80, Synthetic
	case 66 <= month && month <= 77:
		return month - 65, Synthetic
	case 41 <= month && month <= 52:
		return month - 40, AidNumber
	default:
		return month, Ordinary
	}
}

// norwegianRules says by which rules a number can have been given out.
type norwegianRules int

const (
	rulesOfToday norwegianRules = iota + 1 // perhaps also of 2032, by chance
	rules2032
)

// norwegianControl checks both control digits. Numbers given out from
// 2032-01-01 on may leave a remainder of 0 to 3 with the first, so that the
// series lasts; the second stays as it is. Both sorts are valid side by side,
// and telling typing errors from early numbers is left to the second digit,
// which alone finds every single wrong digit.
// Source: Skatteetaten, Nytt fødselsnummer fra 2032.
func norwegianControl(s string) (norwegianRules, bool) {
	if weighted(s, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 != 0 {
		return 0, false
	}
	switch weighted(s, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1) % 11 {
	case 0:
		return rulesOfToday, true
	case 1, 2, 3:
		return rules2032, true
	default:
		return 0, false
	}
}

// norwegianCentury returns the first year of the century that the individual
// number tells by the rules valid until 2032, or 0 where they know none:
// such a number can only be one of the new rules, which carry no century.
// Source: ehelse.no, Identifikatorer for personer.
func norwegianCentury(yy, individual int) int {
	switch {
	case individual <= 499:
		return 1900
	case individual <= 749 && yy >= 54:
		return 1800
	case individual >= 900 && yy >= 40:
		return 1900
	case yy <= 39:
		return 2000
	default:
		return 0
	}
}
