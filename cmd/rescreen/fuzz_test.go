package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzServerVersion: versions are ordered, whatever a server calls itself.
func FuzzServerVersion(f *testing.F) {
	for _, seed := range []string{"2.14.5", "v2.14.5", "2.14.5-RC.1+x", "2.14", "2.14.5.6", "-1.0.0", "99999999999999999999.0.0", "2..5", "", "２.14.5", "2.14.5-", "+"} {
		f.Add(seed, "2.14.5")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		below, err := versionBelow(a, b)
		above, err2 := versionBelow(b, a)
		if (err == nil) != (err2 == nil) {
			t.Errorf("%q and %q can be compared one way only: %v, %v", a, b, err, err2)
		}
		an, apre, _ := parseVersion(a)
		bn, bpre, _ := parseVersion(b)
		if err == nil && below && above && !(an == bn && apre && bpre) {
			t.Errorf("%q and %q are below each other", a, b)
		}
		if err == nil && !below && !above && an != bn {
			t.Errorf("%q and %q are not ordered", a, b)
		}
	})
}

// FuzzRedactURLs: the password of a server is not shown, however it is written.
func FuzzRedactURLs(f *testing.F) {
	for _, seed := range []string{"p", "p@q", "p:q", "p/q", "p%40", "nats://x@", "@", " p ", "pass#word", "\x00"} {
		f.Add("nats://", seed, "h:4222")
		f.Add("", seed, "h")
	}
	f.Fuzz(func(t *testing.T, scheme, password, host string) {
		if strings.ContainsAny(scheme+password+host, ",") || strings.Contains(host, "@") {
			return // a comma begins another server, for the client as well
		}
		secret := "Kanari" + password + "fugl"
		for _, list := range []string{scheme + "user:" + secret + "@" + host, "a," + scheme + secret + "@" + host + ",b"} {
			if got := redactURLs(list); strings.Contains(got, "Kanari") || strings.Contains(got, "fugl") {
				t.Errorf("%q is shown as %q", list, got)
			}
		}
	})
}

// FuzzManifest: a file in the place of an export's manifest is one or refused,
// and no error shows it.
func FuzzManifest(f *testing.F) {
	for _, seed := range []string{`{"batch":"b"}`, `{"batch":"c","results":{"hit":1}}`, `{"results":{"hit":-1e99}}`, `{"batch":"Kanarifugl`, `[]`, `null`, ``, strings.Repeat("[", 100_000)} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, manifestFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(dir)
		if err != nil && strings.Contains(err.Error(), "Kanarifugl") {
			t.Errorf("error %v", err)
		}
		if owned := ownDirectory(dir, "b"); (owned == nil) != (err == nil && m.Batch == "b") {
			t.Errorf("manifest of %q, %v: %v", m.Batch, err, owned)
		}
	})
}
