package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
