package apiclient

import (
	"bytes"
	"encoding/json"
	"regexp"
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

// plainText undoes JSON's escapes, behind which a name could hide from the
// mask, and puts everything on one line.
func plainText(body []byte) string {
	if checkJSON(body) == nil {
		var v any
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		var plain bytes.Buffer
		enc := json.NewEncoder(&plain)
		enc.SetEscapeHTML(false)
		if dec.Decode(&v) == nil && enc.Encode(v) == nil {
			body = plain.Bytes()
		}
	}
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

// personalWords are what the API could repeat of a query.
func (c *Client) personalWords(q Query) []string {
	words := []string{q.SSN.Reveal()}
	for _, name := range []string{q.FirstName.Reveal(), q.LastName.Reveal()} {
		words = append(words, name)
		words = append(words, strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })...)
	}
	if born, err := time.Parse(time.DateOnly, q.DateOfBirth.Reveal()); err == nil {
		for _, layout := range []string{time.DateOnly, "20060102", "02.01.2006", "020106", c.profile.Create.DateLayout} {
			words = append(words, born.Format(layout))
		}
	}
	return words
}

// maskWord replaces every occurrence of word. Short words only where they
// stand alone: otherwise the name "Bo" would eat into "about".
func maskWord(text, word string) string {
	word = strings.TrimSpace(word)
	if utf8.RuneCountInString(word) < 2 {
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
