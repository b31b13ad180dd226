package apiclient

import (
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rescreen/apiclient/nationalid"
)

// maxMessageBytes bounds Error.Message.
const maxMessageBytes = 512

// maskedText makes one bounded line of an error body: national ids and the
// given words, whatever their case, are masked.
func maskedText(body []byte, words []string) string {
	text := plainText(body)
	for _, word := range words {
		text = maskWord(text, word)
	}
	// Masked before it is cut: half an id would not be recognised.
	return bounded(nationalid.Mask(text), maxMessageBytes)
}

var (
	jsonEscaped = regexp.MustCompile(`\\u[0-9a-fA-F]{4}`)
	urlEscaped  = regexp.MustCompile(`(?:%[0-9a-fA-F]{2})+`)
)

// plainText undoes the escapes of URLs, JSON and HTML, behind which a name
// could hide from the mask, and puts everything on one line. It need not stay
// JSON, and half of a document is as good as a whole one.
func plainText(body []byte) string {
	body = urlEscaped.ReplaceAllFunc(body, func(e []byte) []byte {
		plain, err := url.PathUnescape(string(e))
		if err != nil || !utf8.ValidString(plain) {
			return e
		}
		return []byte(plain)
	})
	body = jsonEscaped.ReplaceAllFunc(body, func(e []byte) []byte {
		code, err := strconv.ParseUint(string(e[2:]), 16, 32)
		if err != nil {
			return e
		}
		return utf8.AppendRune(nil, rune(code))
	})
	body = []byte(html.UnescapeString(string(body)))
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(body), "?"))
	return strings.Join(strings.Fields(text), " ")
}

// bounded cuts s to n bytes at the end of a character.
func bounded(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// shownOrigin names the origin of an address that an answer gave: the rest of
// such an address is never shown, and even a host may hold a number.
func shownOrigin(u *url.URL) string { return bounded(nationalid.Mask(origin(u)), 120) }

// personalWords are what the API could repeat of a query.
func (c *Client) personalWords(q Query) []string {
	words := []string{q.SSN.Reveal()}
	for _, name := range []string{q.FirstName.Reveal(), q.LastName.Reveal()} {
		words = append(words, name)
		words = append(words, strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })...)
	}
	if born, err := time.Parse(time.DateOnly, q.DateOfBirth.Reveal()); err == nil {
		for _, layout := range []string{
			time.DateOnly, "2006/01/02", "20060102", "02.01.2006", "2.1.2006", "02/01/2006", "02-01-2006", "02012006", "020106",
			c.profile.Create.DateLayout,
		} {
			words = append(words, born.Format(layout))
		}
	}
	return words
}

// maskWord replaces every occurrence of word. Short words only where they
// stand alone: otherwise the name "Bo" would eat into "about".
func maskWord(text, word string) string {
	word = strings.TrimSpace(word)
	if utf8.RuneCountInString(word) < 2 || !utf8.ValidString(word) { // text is valid, and no pattern can hold what is not
		return text
	}
	alone := utf8.RuneCountInString(word) < 4
	var out strings.Builder
	at := 0
	for _, m := range regexp.MustCompile("(?i)"+regexp.QuoteMeta(word)).FindAllStringIndex(text, -1) {
		before, _ := utf8.DecodeLastRuneInString(text[:m[0]])
		after, _ := utf8.DecodeRuneInString(text[m[1]:])
		if alone && (isWordRune(before) || isWordRune(after)) {
			continue
		}
		out.WriteString(text[at:m[0]])
		out.WriteString("[redacted]")
		at = m[1]
	}
	return out.String() + text[at:]
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
