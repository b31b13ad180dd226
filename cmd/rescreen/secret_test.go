package main

import (
	"os"
	"testing"
)

func TestOpenToAll(t *testing.T) {
	for _, c := range []struct {
		name string
		mode os.FileMode
		want bool
	}{
		{"/etc/secret", 0o600, false},
		{"/etc/secret", 0o440, false},
		{"/etc/secret", 0o644, true},
		{"/run/secrets/worker-password", 0o644, false},
		{"/run/secrets/../worker-password", 0o644, true},
		{"run/secrets/worker-password", 0o644, true},
	} {
		if got := openToAll(c.name, c.mode); got != c.want {
			t.Errorf("%s %v: %v", c.name, c.mode, got)
		}
	}
}
