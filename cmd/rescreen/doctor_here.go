package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rescreen/queue/natsembed"
)

// examineHere looks at what can be seen without asking anybody.
func (d *doctor) examineHere(ctx context.Context) []finding {
	return look(ctx, probeTime, []probe{
		{"configuration", d.configuration},
		{"secret-files", d.secretFiles},
		{"disk", d.disk},
	})
}

// configuration checks the settings as the command of the role would.
func (d *doctor) configuration(context.Context) finding {
	found := d.settings.NATS.problems()
	if d.callsAPI() {
		found = d.settings.check(true)
	}
	found = d.app.found.merge(withOrigins(found, d.app.settings))
	if len(found) > 0 {
		var texts []string
		for _, p := range found {
			texts = append(texts, p.String())
		}
		return failure("Correct these settings; rescreen config print shows the value of each and where it comes from.", "%s", strings.Join(texts, "; "))
	}
	var odd []string
	for _, w := range d.app.warnings {
		if !strings.HasPrefix(w.setting, "--") { // those are about files
			odd = append(odd, w.String())
		}
	}
	if len(odd) > 0 {
		return warning("Remove or correct these variables: nothing reads them.", "%s", strings.Join(odd, "; "))
	}
	return fine("all settings of %s can be used", d.role.one())
}

// callsAPI reports whether what is examined calls the API.
func (d *doctor) callsAPI() bool { return d.role == roleWorker || d.settings.API.APIEnv != "" }

// secretFiles looks for secrets that everybody on the machine can read.
func (d *doctor) secretFiles(context.Context) finding {
	open := secretFileWarnings(d.app.settings)
	if !d.settings.NATS.remote() {
		access := filepath.Join(d.settings.NATS.DataDir, natsembed.AccessFile)
		if info, err := os.Stat(access); err == nil && info.Mode().Perm()&0o004 != 0 {
			open.addf("--data-dir", "everybody on this machine can read %s (mode %04o), which opens the embedded NATS server: chmod 600 keeps it to its owner", access, info.Mode().Perm())
		}
	}
	if len(open) == 0 {
		return fine("nobody else can read them")
	}
	var texts []string
	for _, p := range open {
		texts = append(texts, p.String())
	}
	return warning("Take the right from them: chmod 600 FILE. In Kubernetes, set defaultMode 0440 on the volume of the secret.", "%s", strings.Join(texts, "; "))
}

// Shares of a store or disk in use at which it is time to act: 80 % leaves days,
// 95 % does not.
const (
	fillingShare = 0.80
	fullShare    = 0.95
)

// disk looks at the disk under the embedded server, which is the only one whose
// disk is here.
func (d *doctor) disk(context.Context) finding {
	if d.settings.NATS.remote() {
		return notKnown("the NATS servers have disks of their own: see nats-storage, with --nats-monitor")
	}
	free, total, err := d.space(d.settings.NATS.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return notKnown("there is no %s yet", d.settings.NATS.DataDir)
	}
	if err != nil {
		return notKnown("the disk under %s does not say how full it is: %v", d.settings.NATS.DataDir, err)
	}
	used := 1 - float64(free)/float64(max(total, 1))
	return filling(used, "Make room on that disk. When it is full the NATS server switches JetStream off, and no job goes on until there is room and the worker is started again.",
		"%s of %s free under %s", sizeText(int64(free)), sizeText(int64(total)), d.settings.NATS.DataDir)
}

// filling is the finding for a share in use.
func filling(used float64, do, format string, args ...any) finding {
	switch {
	case used >= fullShare:
		return failure(do, format, args...)
	case used >= fillingShare:
		return warning(do, format, args...)
	}
	return fine(format, args...)
}
