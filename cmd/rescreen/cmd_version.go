package main

import (
	"runtime"
	"runtime/debug"

	"github.com/nats-io/nats.go"
)

// versionCmd says what is running; it is the first thing a report of a defect
// needs.
type versionCmd struct {
	outputOption
}

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // "unknown" when built without version control
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	NATSGo   string `json:"nats_go"`
	Floor    string `json:"nats_server_floor"` // oldest server accepted
}

// Run implements the command.
func (c *versionCmd) Run(a *app) error {
	info := buildVersion()
	if c.json() {
		return writeJSON(a.stdout, info)
	}
	commit := info.Commit
	if info.Modified {
		commit += " (with changes)"
	}
	return writeTable(a.stdout, nil, [][]string{
		{"rescreen", info.Version},
		{"commit", commit},
		{"go", info.Go + " " + info.Platform},
		{"nats.go", info.NATSGo},
		{"nats-server", info.Floor + " or newer"},
	})
}

// buildVersion reads what the Go tool wrote into the binary.
func buildVersion() versionInfo {
	info := versionInfo{
		Version: "unknown", Commit: "unknown",
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		NATSGo: nats.Version, Floor: serverFloor,
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if build.Main.Version != "" {
		info.Version = build.Main.Version
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Commit = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	return info
}
