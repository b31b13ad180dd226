package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// permissionsFile is what setup prints, for the example of a cluster.
const permissionsFile = "../../deploy/nats/rescreen-permissions.conf"

func TestPermissionsArePrinted(t *testing.T) {
	printed, stderr, err := runIn(t, nil, "setup", "--print-permissions")
	if err != nil || stderr != "" {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if *update {
		must(t, os.WriteFile(permissionsFile, []byte(printed), 0o644))
	}
	kept, err := os.ReadFile(permissionsFile)
	must(t, err)
	if printed != string(kept) {
		t.Errorf("%s is not what setup prints (go test ./cmd/rescreen -run TestPermissionsArePrinted -update)", permissionsFile)
	}
	asJSON, _, err := runIn(t, nil, "setup", "--print-permissions", "--output", "json")
	must(t, err)
	var byRole map[string]permissions
	must(t, json.Unmarshal([]byte(asJSON), &byRole))
	all, err := roles()
	must(t, err)
	for _, r := range all {
		want := r.permissions()
		if got := byRole[r.name]; !slices.Equal(got.Publish.Allow, want.Publish.Allow) || !slices.Equal(got.Subscribe.Allow, want.Subscribe.Allow) {
			t.Errorf("%s as JSON: %+v", r.name, got)
		}
		for _, subject := range append(want.Publish.Allow, want.Subscribe.Allow...) {
			if !strings.Contains(printed, `"`+subject+`"`) {
				t.Errorf("%s is not printed", subject)
			}
		}
	}
	if len(byRole) != len(all) || strings.Contains(printed, "deny") {
		t.Errorf("printed %d roles of %d, or a denial", len(byRole), len(all))
	}
}

// What the head of the printed file says of a role that nobody has.
func TestPermissionsOfNobodyAreRefused(t *testing.T) {
	printed, _, err := runIn(t, nil, "setup", "--print-permissions")
	must(t, err)
	config := filepath.Join(t.TempDir(), "nats.conf")
	must(t, os.WriteFile(config, []byte(printed), 0o600))
	if _, err := server.ProcessConfigFile(config); err == nil || !strings.Contains(err.Error(), `unknown field "rescreen_`) {
		t.Errorf("unused permissions: %v", err)
	}
}

func TestRights(t *testing.T) {
	for _, c := range []struct {
		rights  rights
		subject string
		may     bool
	}{
		{rights{}, "a.b", true},
		{rights{Allow: []string{"a.*"}}, "a.b", true},
		{rights{Allow: []string{"a.*"}}, "a.b.c", false},
		{rights{Allow: []string{"b", "a.>"}}, "a.b.c", true},
		{rights{Deny: []string{"a.>"}}, "a.b", false},
		{rights{Deny: []string{"a.>"}}, "b", true},
		{rights{Allow: []string{"a.>"}, Deny: []string{"a.b"}}, "a.b", false},
	} {
		if c.rights.publish(c.subject) != c.may {
			t.Errorf("%+v, %s: %v", c.rights, c.subject, !c.may)
		}
	}
}

// A server says which rights a user has; one that says nothing is taken to allow
// everything.
func TestRightsAreAskedFor(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	s := newRoleServer(t, all, "")
	for _, r := range all {
		asked := askRights(t.Context(), s.link(r.name).Conn())
		slices.Sort(asked.Allow)
		if !slices.Equal(asked.Allow, r.permissions().Publish.Allow) || len(asked.Deny) > 0 {
			t.Errorf("%s: %+v", r.name, asked)
		}
	}
	if asked := askRights(t.Context(), s.admin.Conn()); len(asked.Allow)+len(asked.Deny) > 0 {
		t.Errorf("without restrictions: %+v", asked)
	}
	nc, err := nats.Connect(s.nats.ClientURL(), nats.UserInfo("admin", "admin"))
	must(t, err)
	nc.Close()
	if asked := askRights(t.Context(), nc); !asked.publish("a") {
		t.Errorf("without a server: %+v", asked)
	}
}

// With permissions that were written before there was something to ask, commands that
// count do so at once, and say nothing of it.
func TestRightsThatMayNotBeAskedFor(t *testing.T) {
	t.Parallel()
	s, err := startNATS(&server.Options{StoreDir: t.TempDir(), Users: []*server.User{
		{Username: "admin", Password: "a"},
		{Username: "old", Password: "o", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.>", "$KV.>"}}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_rescreen.>"}},
		}},
	}})
	must(t, err)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	as := func(user, password string, args ...string) (stderr string) {
		t.Helper()
		_, stderr, err := runIn(t, nil, append(args, "--server", s.ClientURL(), "--user", user, "--password", password)...)
		must(t, err)
		return stderr
	}
	as("admin", "a", "setup")
	begun := time.Now()
	if stderr := as("old", "o", "batch", "list"); strings.Contains(stderr, "violation") {
		t.Errorf("says\n%s", stderr)
	}
	if took := time.Since(begun); took >= rightsPatience {
		t.Errorf("waited %v", took)
	}
}

// A command of another role says what it is not allowed, and what to do.
func TestCommandsOfOtherRoles(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	s := newRoleServer(t, all, "")
	s.command("setup", "setup")
	t.Run("commands", func(t *testing.T) {
		for _, c := range []struct{ role, command, denied string }{
			{"submitter", "limits show", "_INBOX_rescreen.limits-show"},
			{"consumer", "setup --dry-run", "$JS.API.INFO"},
			{"setup", "batch list", "_INBOX_rescreen.batch-list"},
		} {
			t.Run(c.role, func(t *testing.T) {
				t.Parallel()
				_, _, err := runIn(t, nil, append(strings.Fields(c.command), "--server", s.nats.ClientURL(), "--user", c.role, "--password", c.role)...)
				var shown strings.Builder
				printError(&shown, err)
				if exitCode(err) != exitFailed || !strings.Contains(shown.String(), "did not allow it: ") || !strings.Contains(shown.String(), c.denied) ||
					!strings.Contains(shown.String(), "rescreen setup --print-permissions") {
					t.Errorf("%s: %s", c.command, shown.String())
				}
			})
		}
	})
}
