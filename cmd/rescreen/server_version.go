package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// serverFloor is the oldest nats-server we run on. Older ones lose messages
// or consumers in exactly our pattern: work queues, schedules, compare-and-set
// on replicated streams.
const serverFloor = "2.14.5"

// checkServerVersion refuses a server below the floor.
func checkServerVersion(version string) error {
	older, err := versionBelow(version, serverFloor)
	if err == nil && !older {
		return nil
	}
	return failedError(&oldServerError{version},
		"Update the server: older ones can lose messages or consumers in the way rescreen uses them.")
}

// oldServerError says that a server is below the floor.
type oldServerError struct{ version string }

func (e *oldServerError) Error() string {
	return fmt.Sprintf("the NATS server has version %q, and rescreen needs %s or newer", e.version, serverFloor)
}

// versionBelow compares versions as semantic versions do, as far as it
// matters here: a pre-release comes before its release.
func versionBelow(version, floor string) (bool, error) {
	v, vpre, err := parseVersion(version)
	if err != nil {
		return false, err
	}
	f, _, err := parseVersion(floor)
	if err != nil {
		return false, err
	}
	for i := range v {
		if c := cmp.Compare(v[i], f[i]); c != 0 {
			return c < 0, nil
		}
	}
	return vpre, nil
}

func parseVersion(version string) (numbers [3]uint64, prerelease bool, err error) {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	version, _, prerelease = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	if len(parts) != len(numbers) {
		return numbers, false, fmt.Errorf("version %q has not three numbers", version)
	}
	for i, p := range parts {
		if numbers[i], err = strconv.ParseUint(p, 10, 32); err != nil {
			return numbers, false, fmt.Errorf("version %q: %w", version, err)
		}
	}
	return numbers, prerelease, nil
}
