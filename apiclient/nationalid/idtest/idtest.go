// Package idtest makes national ids for tests: numbers that are possible but
// belong to nobody, unless the caller asks for parts that somebody may hold.
//
// Its arithmetic is written apart from package nationalid, digit by digit from
// the sources, so that the two check each other.
package idtest

import (
	"fmt"
	"time"
)

// Norwegian returns DDMMYYNNNKK for the date and individual number, with
// addDay on the day (40: D-number) and addMonth on the month (80 or 65:
// synthetic, 40: aid number), and whether the number is ever given out: one
// in six combinations has no control digits.
//
// The remainder is that of the first control digit: 0 by the rules of today,
// 1 to 3 by those of 2032.
func Norwegian(born time.Time, individual, addDay, addMonth, remainder int) (string, bool) {
	head := fmt.Sprintf("%02d%02d%02d%03d", born.Day()+addDay, int(born.Month())+addMonth, born.Year()%100, individual)
	first := (11 - sum(head, 3, 7, 6, 1, 8, 9, 4, 5, 2)%11 + remainder) % 11
	if first == 10 {
		return "", false
	}
	head = fmt.Sprintf("%s%d", head, first)
	second := (11 - sum(head, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	if second == 10 {
		return "", false
	}
	return fmt.Sprintf("%s%d", head, second), true
}

// Swedish returns YYYYMMDDNNNC; addDay is 60 for a samordningsnummer.
func Swedish(born time.Time, serial, addDay int) string {
	head := fmt.Sprintf("%04d%02d%02d%03d", born.Year(), int(born.Month()), born.Day()+addDay, serial)
	total := 0
	for i, c := range head[2:] {
		v := int(c - '0')
		if i%2 == 0 {
			v *= 2
		}
		if v > 9 {
			v -= 9
		}
		total += v
	}
	return fmt.Sprintf("%s%d", head, (10-total%10)%10)
}

// Danish returns DDMMYY-SSSS. The first digit of the serial must fit the
// century of the date, which is the caller's to see to: 0000–3999 for the
// 1900s, 5000–8999 for 1858–1899 and 2000–2057.
func Danish(born time.Time, serial int) string {
	return fmt.Sprintf("%02d%02d%02d-%04d", born.Day(), int(born.Month()), born.Year()%100, serial)
}

// Finnish returns DDMMYYxZZZQ with the century sign given.
func Finnish(born time.Time, sign byte, individual int) string {
	n := born.Day()
	for _, part := range []struct{ value, size int }{{int(born.Month()), 100}, {born.Year() % 100, 100}, {individual, 1000}} {
		n = n*part.size + part.value
	}
	return fmt.Sprintf("%02d%02d%02d%c%03d%c", born.Day(), int(born.Month()), born.Year()%100, sign, individual,
		"0123456789ABCDEFHJKLMNPRSTUVWXY"[n%31])
}

func sum(digits string, weights ...int) int {
	total := 0
	for i, w := range weights {
		total += w * int(digits[i]-'0')
	}
	return total
}
