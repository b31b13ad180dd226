//go:build race

package worker

// raceFactor is how many times less a random test does under the race detector,
// which makes it six times slower.
const raceFactor = 3
