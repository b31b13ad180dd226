package main

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"slots", "create-rate", "create-burst", "poll-first", "poll-max", "api-env", "user"}
	for _, c := range []struct {
		word string
		want []string
	}{
		{"slot", []string{"slots"}},
		{"create_rate", []string{"create-rate"}},
		{"creat-rate", []string{"create-rate"}},
		{"createRate", []string{"create-rate"}},
		{"poll-fisrt", []string{"poll-first"}},
		{"usre", nil}, // two letters of four: too far for a short word
		{"users", []string{"user"}},
		{"completely-different", nil},
		{"", nil},
	} {
		if got := nearest(c.word, known); !slices.Equal(got, c.want) {
			t.Errorf("nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"rate", "rates", 1}, {"ab", "ba", 2}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != got {
			t.Errorf("distance(%q, %q) = %d and %d backwards, want %d", c.a, c.b, got, distance(c.b, c.a), c.want)
		}
	}
}
