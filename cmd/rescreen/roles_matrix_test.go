package main

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"rescreen/queue"
	"rescreen/store"
)

// matrixFile says which role may do what. It is generated:
//
//	go test ./cmd/rescreen -run TestRolesMayDoNothingElse -update
const matrixFile = "../../deploy/nats/permissions.md"

// Every subject there is, tried by every role at a server: publishing and
// subscribing come out as the documented matrix says.
func TestRolesMayDoNothingElse(t *testing.T) {
	t.Parallel()
	all, err := roles()
	must(t, err)
	s := newRoleServer(t, all, "")
	_, err = setup(t.Context(), s.admin, setupOptions{})
	must(t, err)
	literals, wild := matrixSubjects(t, all)
	everything := slices.Concat(literals, wild)
	publish, subscribe := make(map[string]map[string]bool), make(map[string]map[string]bool) // by role and subject
	for _, r := range all {
		publish[r.name] = s.published(r.name, literals)
		subscribe[r.name] = s.subscribed(r.name, "", everything)
		if grouped := s.subscribed(r.name, " group", everything); !maps.Equal(grouped, subscribe[r.name]) {
			t.Errorf("%s may subscribe to %v, and in a queue group to %v", r.name, subscribe[r.name], grouped)
		}
		if heard := s.hears(r.name, literals, subscribe[r.name]); !slices.Equal(heard, slices.Sorted(maps.Keys(subscribe[r.name]))) {
			t.Errorf("%s subscribed to %v and heard %v", r.name, subscribe[r.name], heard)
		}
	}
	got := matrixText(all, everything, publish, subscribe)
	if *update {
		must(t, os.WriteFile(matrixFile, []byte(got), 0o644))
	}
	want, err := os.ReadFile(matrixFile)
	must(t, err)
	if got != string(want) {
		t.Errorf("the server does not do what %s says (-update writes it anew):\n%s", matrixFile, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "is   " + g[i] + "\nsaid " + w[i]
		}
	}
	return fmt.Sprintf("%d lines, said %d", len(g), len(w))
}

// matrixSubjects returns a subject of every kind: literal ones, which can be
// published to, and wildcards.
func matrixSubjects(t *testing.T, all []role) (literals, wild []string) {
	t.Helper()
	kept := map[string][]string{ // by stream
		queue.JobsStream:                  {"screening.jobs.b", "screening.jobs.default"},
		"KV_" + queue.BatchesBucket:       {"$KV.screening_batches.b"},
		store.RecordsStream:               {"screening.record.b.j"},
		store.WakesStream:                 {"screening.wake.b.j.1", "screening.due.b.j.1"},
		store.EvidenceStream:              {"screening.evidence.0a"},
		store.ResultsStream:               {"screening.result.b.j.1", "screening.failure.b.j.1"},
		store.LimitsStream:                {"$KV.screening_limits.upstream-prod", "$KV.screening_limits.repair"},
		store.EvidenceBucketStream:        {"$O.screening_evidence.C.x", "$O.screening_evidence.M.x"},
		"OTHER" /* of somebody else's */ : {"other.subject"},
	}
	consumers := map[string][]string{
		queue.JobsStream: {"jobs-b", queue.JobsConsumer(queue.DefaultBatch).Durable}, store.WakesStream: {store.DueConsumerName},
	}
	for _, s := range wantedStreams(1) {
		for _, pattern := range s.Subjects {
			if !slices.ContainsFunc(kept[s.Name], func(literal string) bool { return server.SubjectMatchesFilter(literal, pattern) }) {
				t.Errorf("no subject of %s (%s) is tried", s.Name, pattern)
			}
		}
	}
	literals = append(literals, "screening.limits.upstream-prod", "screening.limits.x", "screening.other", userInfoSubject, "$SYS.REQ.SERVER.PING",
		"$SYS.REQ.ACCOUNT.PING.CONNZ", "$JS.EVENT.ADVISORY.API", server.JSApiAccountInfo, server.JSApiStreams, server.JSApiStreamList,
		server.JSApiLeaderStepDown, server.JSApiRemoveServer, "$JS.API.ACCOUNT.PURGE.SCREENING", "_INBOX.x.1", "_INBOX_rescreen.x.1")
	for _, stream := range slices.Sorted(maps.Keys(kept)) {
		literals = append(literals, kept[stream]...)
		for _, template := range []string{
			server.JSApiStreamInfoT, server.JSApiStreamCreateT, server.JSApiStreamUpdateT, server.JSApiStreamDeleteT, server.JSApiStreamPurgeT,
			server.JSApiStreamSnapshotT, server.JSApiStreamRestoreT, server.JSApiMsgGetT, server.JSApiMsgDeleteT, server.JSDirectMsgGetT,
			server.JSApiStreamRemovePeerT, server.JSApiStreamEvacuatePeerT, server.JSApiStreamCancelMoveT, server.JSApiStreamLeaderStepDownT,
			server.JSApiConsumersT, server.JSApiConsumerListT, server.JSApiConsumerCreateT,
		} {
			literals = append(literals, fmt.Sprintf(template, stream))
		}
		for _, subject := range kept[stream] {
			literals = append(literals, fmt.Sprintf(server.JSDirectGetLastBySubjectT, stream, subject))
		}
		// Acknowledgements that look like those of a stream that a role works with, by what
		// is in the place of a number or of the domain.
		for _, own := range []string{queue.JobsStream + ".2", store.ResultsStream + ".2", store.WakesStream + "." + store.DueConsumerName} {
			if !strings.HasPrefix(own, stream+".") {
				literals = append(literals, "$JS.ACK."+stream+".c."+own+".3.4.5", "$JS.ACK."+own+"."+stream+".c.1.2.3.4.5")
			}
		}
		for _, consumer := range append(consumers[stream], "c") {
			name := stream + "." + consumer
			for _, template := range []string{
				server.JSApiConsumerInfoT, server.JSApiConsumerDeleteT, server.JSApiRequestNextT, server.JSApiConsumerPauseT, server.JSApiConsumerUnpinT,
				server.JSApiConsumerResetT, server.JSApiDurableCreateT, server.JSApiConsumerLeaderStepDownT, server.JSApiConsumerRemovePeerT,
			} {
				literals = append(literals, fmt.Sprintf(template, stream, consumer))
			}
			literals = append(literals, "$JS.API.CONSUMER.CREATE."+name, "$JS.ACK."+name+".1.2.3.4.5", "$JS.ACK._.hash."+name+".1.2.3.4.5",
				"$JS.FC."+name+".x", "$JS.FC._.hash."+name+".x")
			for _, subject := range kept[stream] {
				literals = append(literals, fmt.Sprintf(server.JSApiConsumerCreateExT, stream, consumer, subject))
			}
		}
	}
	for _, r := range all {
		for _, name := range append([]string{r.name}, r.commands...) {
			literals = append(literals, inboxOf(name)+".x.1")
			wild = append(wild, inboxOf(name)+".>")
		}
	}
	wild = append(wild, ">", "*.>", "screening.>", "screening.*.b", "screening.limits.>", "$KV.>", "$O.>", "$JS.>", "$JS.API.>", "$JS.ACK.>", "$SYS.>", "$SRV.>",
		"_INBOX.>", "_INBOX_rescreen.>", "_INBOX_rescreen.*.x.1")
	slices.Sort(literals)
	slices.Sort(wild)
	return slices.Compact(literals), slices.Compact(wild)
}

// published returns to which subjects a role may publish: those that somebody who
// may hear everything has heard.
func (s *roleServer) published(role string, subjects []string) map[string]bool {
	s.Helper()
	heard, err := s.admin.Conn().SubscribeSync(">")
	must(s.T, err)
	defer func() { _ = heard.Unsubscribe() }()
	must(s.T, heard.SetPendingLimits(-1, -1))
	must(s.T, s.admin.Conn().Flush())
	c := s.dial(role)
	mark := "matrix " + role
	for _, subject := range subjects {
		c.send("PUB %s %d\r\n%s\r\n", subject, len(mark), mark)
	}
	_, denied := c.sync()
	must(s.T, s.admin.Conn().Flush())
	may := make(map[string]bool)
	for {
		m, err := heard.NextMsg(time.Millisecond)
		if err != nil {
			break // the flush has brought all there is
		}
		if string(m.Data) == mark {
			may[m.Subject] = true
		}
	}
	for _, subject := range subjects {
		if refused := slices.Contains(denied, "Publish to "+subject); refused == may[subject] {
			s.Errorf("%s publishes to %s: refused %v, heard %v", role, subject, refused, may[subject])
		}
	}
	return may
}

// subscribed returns to which subjects a role may subscribe.
func (s *roleServer) subscribed(role, group string, subjects []string) map[string]bool {
	s.Helper()
	c := s.dial(role)
	for i, subject := range subjects {
		c.send("SUB %s%s %d\r\n", subject, group, i)
	}
	_, denied := c.sync()
	may := make(map[string]bool)
	for _, subject := range subjects {
		if !slices.Contains(denied, "Subscription to "+subject) {
			may[subject] = true
		}
	}
	return may
}

// hears returns which of the subjects a role has heard on, that has subscribed to
// all of them: of those literal, and for wildcards that it may subscribe to,
// whether it was served on one below.
func (s *roleServer) hears(role string, literals []string, may map[string]bool) []string {
	s.Helper()
	c := s.dial(role)
	var asked []string
	for subject := range may {
		asked = append(asked, subject)
	}
	for i, subject := range append(asked, literals...) {
		c.send("SUB %s %d\r\n", subject, i)
	}
	c.sync()
	for _, subject := range literals {
		if !strings.HasPrefix(subject, "$JS.API.") && !strings.HasPrefix(subject, "$SYS.") { // of what these do there would be no end
			must(s.T, s.admin.Conn().PublishMsg(&nats.Msg{Subject: subject, Data: []byte("x")}))
		}
	}
	must(s.T, s.admin.Conn().Flush())
	served, _ := c.sync()
	heard := make(map[string]bool)
	for _, subject := range served {
		heard[subject] = true
		for _, pattern := range asked {
			if strings.Contains(pattern, ">") && server.SubjectMatchesFilter(subject, pattern) {
				heard[pattern] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(heard))
}

// rawClient speaks the protocol by itself: a client library would hide what the
// server says.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

func (s *roleServer) dial(role string) *rawClient {
	s.Helper()
	conn, err := net.Dial("tcp", s.nats.Addr().String())
	must(s.T, err)
	s.Cleanup(func() { _ = conn.Close() })
	must(s.T, conn.SetDeadline(time.Now().Add(longEnough)))
	c := &rawClient{t: s.T, conn: conn, in: bufio.NewReader(conn), out: bufio.NewWriter(conn)}
	c.send("CONNECT {\"verbose\":false,\"pedantic\":false,\"user\":%q,\"pass\":%q,\"protocol\":1}\r\n", role, role)
	if _, denied := c.sync(); len(denied) > 0 {
		s.Fatalf("%s: %v", role, denied)
	}
	return c
}

func (c *rawClient) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c.out, format, args...)
	must(c.t, err)
}

var rawDenial = regexp.MustCompile(`Permissions Violation for (Publish to|Subscription to) "([^"]+)"`)

// sync waits until the server has dealt with all that was sent, and returns the
// subjects on which messages came meanwhile, and what was not allowed.
func (c *rawClient) sync() (heard, denied []string) {
	c.t.Helper()
	c.send("PING\r\n")
	must(c.t, c.out.Flush())
	for {
		line, err := c.in.ReadString('\n')
		must(c.t, err)
		switch fields := strings.Fields(line); fields[0] {
		case "PONG":
			return heard, denied
		case "MSG":
			heard = append(heard, fields[1])
			var size int
			_, err := fmt.Sscan(fields[len(fields)-1], &size)
			must(c.t, err)
			_, err = c.in.Discard(size + len("\r\n"))
			must(c.t, err)
		case "-ERR":
			m := rawDenial.FindStringSubmatch(line)
			if m == nil {
				c.t.Fatalf("the server says %s", line)
			}
			denied = append(denied, m[1]+" "+m[2])
		}
	}
}

const matrixHead = `# What each role may do

Generated by a test that tries every subject below with every role at a nats-server, publishing and subscribing
(` + "`go test ./cmd/rescreen -run TestRolesMayDoNothingElse -update`" + `); the test fails when the server does anything else. The
permissions themselves are in [rescreen-permissions.conf](rescreen-permissions.conf).

**P** may publish there, which is how anything is asked of JetStream; **S** may subscribe, which is how anything is heard. ` + "`b`, `j` and `c`" + ` stand for any
batch, job and consumer, and x for anything.

`

// matrixText writes the matrix: a line for what anybody may, and in short what
// nobody may.
func matrixText(all []role, subjects []string, publish, subscribe map[string]map[string]bool) string {
	var b strings.Builder
	b.WriteString(matrixHead + "| Subject |")
	for _, r := range all {
		b.WriteString(" " + r.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(all)) + "\n")
	var nobody []string
	for _, subject := range subjects {
		line, any := "| `"+subject+"` |", false
		for _, r := range all {
			cell := ""
			if publish[r.name][subject] {
				cell += " P"
			}
			if subscribe[r.name][subject] {
				cell += " S"
			}
			any = any || cell != ""
			line += cell + " |"
		}
		if any {
			b.WriteString(line + "\n")
		} else {
			nobody = append(nobody, subject)
		}
	}
	b.WriteString("\n## Nobody may\n\npublish or subscribe to any of these:\n\n```\n" + strings.Join(nobody, "\n") + "\n```\n")
	return b.String()
}
