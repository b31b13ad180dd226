//go:build race

package main

// underRace: the race detector keeps shadows of all memory.
const underRace = true
