package main

import (
	"fmt"
	"time"
)

// timeText writes a time for a person: in UTC, like everything in the logs and
// files that it is compared with.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// sizeText writes a number of bytes in the unit that suits it.
func sizeText(bytes int64) string {
	const step = 1024
	size, unit := float64(bytes), 0
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	for size >= step && unit < len(units)-1 {
		size, unit = size/step, unit+1
	}
	if unit == 0 {
		return grouped(bytes) + " bytes"
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
