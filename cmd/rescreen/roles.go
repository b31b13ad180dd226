package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// role is somebody who uses a NATS account together with others, and what the
// server has to allow him: nothing but this.
type role struct {
	name     string
	does     string   // for a person
	commands []string // that he runs
	publish  []string
	listen   []string // besides the answers he gets
}

// roles returns them all. What each publishes is told by the packages it uses;
// only what the JetStream API is asked from this package stands here.
func roles() ([]role, error) {
	var limits []string
	for _, env := range []apiEnv{envLocal, envCurrent, envProd} {
		limits = append(limits, worker.LimitsRegister(string(env)))
	}
	operate, err := store.RegisterSubjects(limits...)
	if err != nil {
		return nil, err
	}
	return []role{
		{
			name: "submitter", does: "submits batches and follows them; cannot read results, evidence or records; can read jobs that wait, and could stop a batch",
			commands: []string{"batch submit", "batch list", "batch status", "batch watch"},
			publish:  slices.Concat(queue.SubmitSubjects(), countSubjects()),
		},
		{
			name: "worker", does: "screens",
			commands: []string{"worker"},
			publish: slices.Concat([]string{accountSubject}, queue.WorkSubjects(), store.WorkSubjects(),
				queue.PullSubjects(store.WakesStream, store.DueConsumerName), store.CountSubjects()),
			listen: store.SignalSubjects(),
		},
		{
			name: "consumer", does: "reads results, failures and evidence",
			commands: []string{"batch export"},
			publish:  slices.Concat(queue.WatchSubjects(), store.ReadSubjects()),
		},
		{
			name: "operator", does: "looks at everything and changes limits; cannot read results, evidence or records",
			commands: []string{"limits show", "limits set", "batch list", "batch status", "batch watch", "setup dry-run"},
			publish:  slices.Concat([]string{accountSubject}, queue.WatchSubjects(), operate, lookSubjects()),
		},
		{
			name: "setup", does: "makes and changes streams and consumers; deletes none",
			commands: []string{"setup", "setup dry-run"},
			publish:  slices.Concat([]string{accountSubject}, setupSubjects()),
		},
	}, nil
}

const (
	apiSubject = "$JS.API."
	// accountSubject tells what an account has and uses.
	accountSubject = apiSubject + "INFO"
)

// countSubjects are those of whoever counts what has become of a batch without
// being able to read it.
func countSubjects() []string {
	return []string{apiSubject + "STREAM.INFO." + store.ResultsStream, apiSubject + "STREAM.INFO." + store.RecordsStream}
}

// lookSubjects are those of whoever looks at all consumers, and at wake-ups for dead
// ones. They name nobody; while a report is awaited they hold whether there were hits.
func lookSubjects() []string {
	subjects := []string{apiSubject + "STREAM.MSG.GET." + store.WakesStream}
	for _, s := range wantedStreams(1) {
		subjects = append(subjects, apiSubject+"CONSUMER.LIST."+s.Name, apiSubject+"CONSUMER.INFO."+s.Name+".*")
	}
	return subjects
}

// setupSubjects are those of [setup].
func setupSubjects() []string {
	var subjects []string
	for _, s := range wantedStreams(1) {
		for _, verb := range []string{"INFO", "CREATE", "UPDATE"} {
			subjects = append(subjects, apiSubject+"STREAM."+verb+"."+s.Name)
		}
	}
	for _, c := range wantedConsumers() {
		name := c.stream + "." + c.config.Durable
		subjects = append(subjects, apiSubject+"CONSUMER.INFO."+name, apiSubject+"CONSUMER.CREATE."+name+"."+c.config.FilterSubject)
	}
	return append(subjects, apiSubject+"STREAM.PURGE."+store.LimitsStream) // of one register, see repairFromStart
}

// permissions are a user's, as the server's configuration has them.
type permissions struct {
	Publish   rights `json:"publish"`
	Subscribe rights `json:"subscribe"`
}

// permissions allow the role what it does, each subject once. Answers come on the
// inboxes of its commands, see [inboxOf], and on one of the role's own, for doctor
// and programs that are not rescreen: none that a role which may not ask the same
// could listen to.
func (r role) permissions() permissions {
	p := permissions{
		Publish:   rights{Allow: append([]string{userInfoSubject}, r.publish...)},
		Subscribe: rights{Allow: append([]string{inboxOf(r.name) + ".>"}, r.listen...)},
	}
	for _, c := range r.commands {
		p.Subscribe.Allow = append(p.Subscribe.Allow, inboxOf(c)+".>")
	}
	for _, list := range []*[]string{&p.Publish.Allow, &p.Subscribe.Allow} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return p
}

// variable is what the permissions of the role are called in a configuration.
func (r role) variable() string { return "rescreen_" + r.name }

const permissionsHead = `# Permissions of rescreen's roles, for nats-server; printed by
#   rescreen setup --print-permissions
# Include this file at the top of the server's configuration, and give each user of
# the account that holds the streams the permissions of its role:
#
#   include "rescreen-permissions.conf"
#   accounts {
#     SCREENING {
#       jetstream: enabled
#       users: [
#         { user: worker, password: $WORKER_PASSWORD, permissions: $rescreen_worker }   # a variable of the environment, bcrypt
#         { nkey: UB…, permissions: $rescreen_submitter }
#         …
#
# nats-server refuses a variable that nobody uses: leave out the block of a role that
# you do not have. All roles have to be in one account.
`

// printPermissions prints what the roles are allowed, as configuration of a
// nats-server.
func printPermissions(w io.Writer, all []role) error {
	var b strings.Builder
	b.WriteString(permissionsHead)
	for _, r := range all {
		p := r.permissions()
		fmt.Fprintf(&b, "\n# %s: %s\n# %s\n%s: {\n", r.name, r.does, "rescreen "+strings.Join(r.commands, ", "), r.variable())
		for _, list := range []struct {
			name  string
			allow []string
		}{{"publish", p.Publish.Allow}, {"subscribe", p.Subscribe.Allow}} {
			fmt.Fprintf(&b, "  %s: { allow: [\n", list.name)
			for _, s := range list.allow {
				fmt.Fprintf(&b, "    %q\n", s)
			}
			b.WriteString("  ] }\n")
		}
		b.WriteString("}\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
