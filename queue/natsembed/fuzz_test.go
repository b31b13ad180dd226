package natsembed_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rescreen/queue/natsembed"
)

// FuzzReadAccess: credentials are whole or refused, and no error shows them.
func FuzzReadAccess(f *testing.F) {
	for _, seed := range []string{
		`{"url":"nats://127.0.0.1:4222","user":"u","password":"Kanarifugl"}`, `{"user":"u","password":"Kanarifugl"}`, `{"user":"u","password":"Kanarifugl"`,
		`{"user":["Kanarifugl"]}`, `{"user":"u"}`, `[]`, `null`, ``, "\x00Kanarifugl", strings.Repeat("[", 100_000),
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	s, err := natsembed.Start(natsembed.Config{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		f.Fatal(err)
	}
	s.Shutdown()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) != 1 {
		f.Fatalf("access files %q, %v", names, err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(names[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := natsembed.ReadAccess(dir)
		switch {
		case err != nil && (a != natsembed.Access{} || strings.Contains(err.Error(), "Kanarifugl")):
			t.Errorf("%v with error %v", a != natsembed.Access{}, err)
		case err != nil && errors.Is(err, os.ErrNotExist):
			t.Error("the file is there")
		case err == nil && (a.URL == "" || a.User == "" || a.Password == ""):
			t.Error("credentials that are not whole are accepted")
		}
	})
}
