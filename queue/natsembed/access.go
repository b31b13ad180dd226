package natsembed

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
)

// AccessFile is where other processes find out how to connect.
const AccessFile = "nats-access.json"

// Access is how the other commands reach an embedded server: whoever may read
// its data directory may connect.
type Access struct {
	URL      string `json:"url"` // "" while the server has no listener
	User     string `json:"user"`
	Password string `json:"password"`
}

// String hides the password.
func (a Access) String() string { return a.URL }

// GoString hides the password.
func (a Access) GoString() string { return a.URL }

// Check implements server.Authentication.
func (a Access) Check(c server.ClientAuthentication) bool {
	given := c.GetOpts()
	return subtle.ConstantTimeCompare([]byte(given.Username), []byte(a.User))&
		subtle.ConstantTimeCompare([]byte(given.Password), []byte(a.Password)) == 1
}

// ErrNoListener: the server of the data directory takes connections from its
// own process only.
var ErrNoListener = errors.New("embedded NATS has no listener")

// ReadAccess returns how to connect to the server of a data directory. It does
// not say that the server runs.
//
// Errors: os.ErrNotExist if none ever ran there, ErrNoListener.
func ReadAccess(dir string) (Access, error) {
	a, err := readAccess(dir)
	if err != nil {
		return Access{}, err
	}
	if a.URL == "" {
		return Access{}, fmt.Errorf("%s: %w", dir, ErrNoListener)
	}
	return a, nil
}

func readAccess(dir string) (Access, error) {
	path := filepath.Join(dir, AccessFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return Access{}, err
	}
	var a Access
	// The error of the decoder could quote the password.
	if json.Unmarshal(b, &a) != nil || a.User == "" || a.Password == "" {
		return Access{}, fmt.Errorf("%s: not readable as credentials; remove it to have new ones made", path)
	}
	return a, nil
}

// loadAccess returns the credentials of earlier runs, or new ones.
func loadAccess(dir string) (Access, error) {
	a, err := readAccess(dir)
	if errors.Is(err, os.ErrNotExist) {
		return Access{User: "rescreen", Password: rand.Text()}, nil
	}
	return a, err
}

// save writes the credentials so that no reader sees half of them, and nobody
// else may read them.
func (a Access) save(dir string) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, AccessFile+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Sync() // renamed before its bytes are on disk, it may be empty after a power failure
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, AccessFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
