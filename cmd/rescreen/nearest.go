package main

import (
	"slices"
	"strconv"
	"strings"
)

// nearest returns the known words that a mistyped one may have meant: equal
// but for case and separators, or at most two letters away (one for short
// words); at most three of them.
func nearest(word string, known []string) []string {
	limit := 2
	if len(word) <= 4 {
		limit = 1
	}
	type match struct {
		word     string
		distance int
	}
	var found []match
	for _, k := range known {
		d := distance(plain(word), plain(k))
		if d <= limit {
			found = append(found, match{k, d})
		}
	}
	slices.SortStableFunc(found, func(a, b match) int { return a.distance - b.distance })
	var out []string
	for _, m := range found[:min(len(found), 3)] {
		out = append(out, m.word)
	}
	return out
}

func plain(word string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(word))
}

// distance is the number of letters to change, add or drop between two words
// (Levenshtein), over bytes: setting names are ASCII.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// didYouMean ends a message about an unknown word.
func didYouMean(words []string) string {
	for i, w := range words {
		words[i] = quoted(w)
	}
	switch len(words) {
	case 0:
		return ""
	case 1:
		return "; did you mean " + words[0] + "?"
	}
	return "; did you mean one of " + strings.Join(words, ", ") + "?"
}

func quoted(s string) string { return strconv.Quote(s) }

func contains(list []string, s string) bool { return slices.Contains(list, s) }
