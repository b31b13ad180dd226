// Package testdata holds the sample portfolio, so that the demo has it
// wherever the program is started.
package testdata

import _ "embed"

//go:embed portfolio.csv
var portfolio string

// Portfolio returns the sample of 500 rows, none about a living person.
func Portfolio() string { return portfolio }
