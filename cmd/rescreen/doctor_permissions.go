package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"go.uber.org/zap"
)

// roleName names a role, see [roles].
type roleName string

const roleWorker roleName = "worker"

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *roleName) UnmarshalText(text []byte) error {
	all, err := roles()
	if err != nil {
		return err
	}
	var names []string
	for _, known := range all {
		if known.name == string(text) {
			*r = roleName(text)
			return nil
		}
		names = append(names, known.name)
	}
	return fmt.Errorf("%q is none of %s", text, strings.Join(names, ", "))
}

// one is somebody of the role, in a sentence.
func (r roleName) one() string {
	switch r {
	case "operator":
		return "an operator"
	case "setup": // the command
		return "setup"
	}
	return "a " + string(r)
}

// get returns the role of that name.
func (r roleName) get() (role, error) {
	all, err := roles()
	if err != nil {
		return role{}, err
	}
	for _, known := range all {
		if known.name == string(r) {
			return known, nil
		}
	}
	return role{}, fmt.Errorf("no role %q", string(r))
}

// What a trial sends has no effect wherever it arrives. No request of the JetStream API
// can be read from that payload, none is answered without a reply subject, and it is
// no acknowledgement; streams refuse a message that is for another stream.
const (
	trialPayload = "{"
	trialToken   = "doctor" // in the place of a wildcard
	trialStream  = "NOT_A_STREAM_OF_ANYBODY"
)

// permissions tries everything that the role does: whether the server takes a
// message on each subject.
func (n *natsDoctor) permissions(ctx context.Context) finding {
	r, err := n.role.get()
	if err != nil {
		return failure("", "%v", err)
	}
	// A connection of its own: what was not allowed is known by its last error.
	link, err := n.target.connect(ctx, "rescreen doctor", zap.NewNop())
	if err != nil {
		return notKnown("not tried: no second connection: %v", err)
	}
	defer link.Close()
	trials := trialsOf(r, link)
	// All at once; one after the other only if something is not allowed.
	refused, err := refusedTrial(ctx, link, trials)
	if err == nil && refused == "" {
		return fine("all %d subjects of %s are allowed", len(trials), n.role.one())
	}
	var denied []string
	tried := 0
	for _, one := range trials {
		if refused, err = refusedTrial(ctx, link, []trial{one}); err != nil {
			break
		}
		tried++
		if strings.Contains(refused, `"`+one.subject+`"`) {
			denied = append(denied, one.what)
		}
	}
	switch {
	case len(denied) > 0:
		return failure("Give this user what "+n.role.one()+" needs: rescreen setup --print-permissions prints it as configuration of nats-server.",
			"%d of the %d subjects of %s are not allowed: %s", len(denied), tried, n.role.one(), firstFew(denied, 4))
	case err != nil:
		return notKnown("%d of the subjects of %s were tried and are allowed, then: %v", tried, n.role.one(), err)
	}
	return fine("all %d subjects of %s are allowed", tried, n.role.one())
}

// trial is one thing that a role does.
type trial struct {
	what    string // for a person
	subject string
	send    func(subject string) error
}

func trialsOf(r role, link *natsLink) []trial {
	publish := func(subject string) error {
		m := nats.NewMsg(subject)
		m.Data = []byte(trialPayload)
		m.Header.Set(jetstream.ExpectedStreamHeader, trialStream)
		return link.Conn.PublishMsg(m)
	}
	subscribe := func(subject string) error {
		_, err := link.Conn.SubscribeSync(subject) // ends with the connection
		return err
	}
	var trials []trial
	for _, pattern := range r.publish {
		trials = append(trials, trial{"publish to " + pattern, apiSubjectFor(link.JS, trialSubject(pattern)), publish})
	}
	for _, pattern := range append(slices.Clone(r.listen), link.Conn.Opts.InboxPrefix+".>") {
		trials = append(trials, trial{"subscribe to " + pattern, trialSubject(pattern), subscribe})
	}
	return trials
}

// refusedTrial makes trials and returns what the server said about the last of them that
// it does not allow; "" if it allows all. It answers a ping after it has said that.
func refusedTrial(ctx context.Context, link *natsLink, trials []trial) (string, error) {
	before := link.Conn.LastError()
	for _, t := range trials {
		if err := t.send(t.subject); err != nil {
			return "", err
		}
	}
	if err := link.Conn.FlushWithContext(ctx); err != nil {
		return "", err
	}
	if last := link.Conn.LastError(); last != before && errors.Is(last, nats.ErrPermissionViolation) { // the very same error is an earlier one's
		return last.Error(), nil
	}
	return "", nil
}

// trialSubject puts a word in the place of wildcards.
func trialSubject(pattern string) string {
	tokens := strings.Split(pattern, ".")
	for i, t := range tokens {
		if t == "*" || t == ">" {
			tokens[i] = trialToken
		}
	}
	return strings.Join(tokens, ".")
}

// apiSubjectFor moves a request of the JetStream API to the domain or prefix that a
// context may have.
func apiSubjectFor(js jetstream.JetStream, subject string) string {
	rest, ok := strings.CutPrefix(subject, jetstream.DefaultAPIPrefix)
	if !ok {
		return subject
	}
	switch o := js.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API." + rest
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "." + rest
	}
	return subject
}

// roleInbox is the prefix of answers that every user of the role may listen to.
func roleInbox(r roleName) string { return inboxOf(string(r)) + "." + nuid.Next() }

// firstFew lists some and counts the rest.
func firstFew(all []string, n int) string {
	if len(all) <= n {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(all[:n], ", "), len(all)-n)
}
