package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rescreen/apiclient/personal"
)

// maxSecretBytes bounds the file of a secret; a wrong path must not be read
// into memory whole.
const maxSecretBytes = 64 << 10

// secretValue returns a secret that is given by itself or by the name of a
// file, not by both. flag names the setting in errors.
func secretValue(flag string, direct personal.Text, file string) (personal.Text, error) {
	switch {
	case direct != "" && file != "":
		return "", fmt.Errorf("is given twice, by itself and by %s-file: give one of them", flag)
	case file == "":
		return direct, nil
	}
	data, err := readSmallFile(file, maxSecretBytes)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	secret := strings.TrimRight(string(data), "\r\n") // what editors and echo leave at the end
	if secret == "" {
		return "", fmt.Errorf("cannot be read: %s is empty", file)
	}
	return personal.Text(secret), nil
}

// secretFiles are the settings, besides those that end in -file, that name a file
// with a secret in it.
var secretFiles = []string{"creds", "nkey", "tlskey"}

// dockerSecrets is where Docker mounts secrets into a container: by itself readable by
// everybody there is in it, which is us, and none of ours to change.
const dockerSecrets = "/run/secrets/"

// openToAll reports whether everybody on the machine can read a file.
func openToAll(name string, mode fs.FileMode) bool {
	return mode.Perm()&0o004 != 0 && !strings.HasPrefix(filepath.Clean(name), dockerSecrets)
}

// secretFileWarnings tells of files of secrets that everybody on the machine
// can read.
func secretFileWarnings(settings []effective) problems {
	var out problems
	for _, e := range settings {
		name, _ := e.value.(string)
		if name == "" || !strings.HasSuffix(e.flag.Name, "-file") && !slices.Contains(secretFiles, e.flag.Name) {
			continue
		}
		if info, err := os.Stat(name); err == nil && openToAll(name, info.Mode()) {
			out.addf("--"+e.flag.Name, "everybody on this machine can read %s (mode %04o): chmod 600 keeps it to its owner", name, info.Mode().Perm())
		}
	}
	return out
}
