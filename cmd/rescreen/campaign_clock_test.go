package main

import (
	"os"
	"time"
	"unsafe"
)

// jumpEvery is how long a jumping clock stands right or wrong.
const jumpEvery = time.Second

// clockJumps is the program on a machine whose wall clock is set an hour ahead,
// right, an hour back and right again, over and over.
func clockJumps() {
	began := time.Now()
	os.Exit(program(func() time.Time {
		now := time.Now()
		off := []time.Duration{0, time.Hour, 0, -time.Hour}[now.Sub(began)/jumpEvery%4]
		return wallClockSet(now, off)
	}))
}

// wallClockSet is what time.Now would have returned on a machine whose wall
// clock was set by whole seconds: the monotonic part stays. Package time has no
// way to say that; in its wall word the seconds begin at bit 30.
func wallClockSet(t time.Time, by time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(by/time.Second) << 30)
	return t
}
