package amlsim

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// personKey stands for a person: the first eight bytes of a hash over what the
// query says about them. At a million people the chance that two share a key is
// one in forty million.
type personKey uint64

// keyOf hashes the four members with their lengths, so that moving a letter
// from one to the next makes another person.
func keyOf(firstName, lastName, dateOfBirth, ssn string) personKey {
	buf := make([]byte, 0, 128)
	for _, s := range [...]string{firstName, lastName, dateOfBirth, ssn} {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	sum := sha256.Sum256(buf)
	return personKey(binary.BigEndian.Uint64(sum[:8]))
}

// What is drawn from the same numbers for different purposes must not be the
// same, or every session with a long wait would also be one that fails.
const (
	drawReady uint64 = iota + 1
	drawReport
	drawFate
	drawShape
	drawLatency
	drawFault
	drawBucket
	drawFacts
	drawGarbage
	drawVanish
)

// bits mixes numbers into 64 random bits (the finaliser of SplitMix64).
func bits(numbers ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, n := range numbers {
		h += n + 0x9e3779b97f4a7c15
		h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
		h = (h ^ (h >> 27)) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// share turns random bits into a number of [0, 1).
func share(b uint64) float64 { return float64(b>>11) / (1 << 53) }

// stream returns a source of random numbers that belongs to the given numbers.
func stream(numbers ...uint64) *rand.Rand {
	first := bits(numbers...)
	return rand.New(rand.NewPCG(first, bits(first, 1)))
}
