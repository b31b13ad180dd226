package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"rescreen/queue"
	"rescreen/store"
)

// troubles are what the campaign does.
func troubles() []aTrouble {
	all := []aTrouble{
		{
			name: "server stopped", do: (*troubleSite).stopServer, undo: (*troubleSite).startServer,
			reason: "NATS: not connected", kind: kindDisconnected,
		},
		{
			name: "due consumer deleted", reason: "due consumer: missing", kind: kindMissing, long: true,
			do: func(s *troubleSite) {
				must(s, s.admin.DeleteConsumer(s.Context(), store.WakesStream, store.DueConsumerName))
			},
			undo: (*troubleSite).setup,
		},
		{
			// What the server does by itself when a write finds no room on its disk;
			// it has to be restarted then.
			name: "disk full", reason: "due consumer: no_responder", kind: kindAbsent, long: true,
			do:   func(s *troubleSite) { must(s, s.server.ShutdownJetStream()) },
			undo: func(s *troubleSite) { s.stopServer(); s.startServer() },
		},
		full(store.RecordsStream), full(store.EvidenceStream), full(store.ResultsStream),
		{
			name: "account full", reason: "write (SCREENING|KV)_[a-zA-Z_]+: full", kind: kindFull, long: true,
			do:   func(s *troubleSite) { s.accountLimit(1) },
			undo: func(s *troubleSite) { s.accountLimit(-1) },
		},
		{
			name: "credentials revoked", reason: "NATS: not connected", kind: kindDisconnected, long: true,
			do:   func(s *troubleSite) { s.users(s.options.Users[:1]) },
			undo: func(s *troubleSite) { s.users(s.options.Users) },
		},
		deleted(store.RecordsStream, "SCREENING_RECORDS: (missing|no_responder)"),
		deleted(store.WakesStream, "due consumer: missing"),
		deleted(store.ResultsStream, "write SCREENING_RESULTS: no_responder"),
		deleted(store.EvidenceStream, "write SCREENING_EVIDENCE: no_responder"),
		deleted(queue.JobsStream, "job stream: missing"),
		deleted(store.LimitsStream, "read "+store.LimitsStream+": missing"),
		deleted("KV_"+queue.BatchesBucket, "repair: no_responder"),
		denied("publishing records", forbid("screening.record.>"), "write SCREENING_RECORDS: denied"),
		denied("parking", forbid("screening.wake.>"), "write SCREENING_WAKES: denied"),
		denied("publishing results", forbid("screening.result.>"), "write SCREENING_RESULTS: denied"),
		denied("pulling", forbid("$JS.API.CONSUMER.MSG.NEXT.>"), "due consumer: denied"),
		denied("JetStream API", forbid("$JS.API.>"), "due consumer: denied"),
		denied("acknowledging", forbid("$JS.ACK.>"), "acknowledgements: denied"),
		denied("subscribing", &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX_rescreen.>"}}}, "denied"),
	}
	for i := range all {
		switch all[i].name {
		case "SCREENING_RECORDS deleted":
			// Sessions whose records are gone end visibly.
			all[i].failed = func(s *troubleSite) int { return s.sim.Stats().Sessions }
		case "SCREENING_WAKES deleted":
			all[i].long = false
		case "SCREENING_JOBS deleted":
			// Jobs that nobody had begun are gone; nothing else knows of them.
			all[i].lost = (*troubleSite).unbegun
		}
	}
	return all
}

// TestCampaignTroubleNoSpace fills a real file system, which has to be a small one:
//
//	mount -t tmpfs -o size=32m tmpfs /mnt/small
//	RESCREEN_CAMPAIGN=full RESCREEN_SMALL_DISK=/mnt/small go test ./cmd/rescreen -run NoSpace -v
func TestCampaignTroubleNoSpace(t *testing.T) {
	onlyInFull(t, "takes half a minute")
	small := os.Getenv("RESCREEN_SMALL_DISK")
	if small == "" {
		t.Skip("no small file system is named: RESCREEN_SMALL_DISK=DIR")
	}
	dir, err := os.MkdirTemp(small, "nats")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ballast := filepath.Join(dir, "ballast")
	newTroubleSiteIn(t, dir).survives(aTrouble{
		reason: "(write|read|due|job).*: (full|no_responder|timeout|missing)", kind: kindFull + "|" + kindAbsent + "|" + kindMissing + "|" + kindTimeout,
		do: func(s *troubleSite) {
			file, err := os.Create(ballast)
			must(s, err)
			block := make([]byte, 4096)
			for err == nil {
				_, err = file.Write(block)
			}
			if must(s, file.Close()); !errors.Is(err, syscall.ENOSPC) {
				s.Fatalf("filling the file system ends with %v", err)
			}
		},
		undo: func(s *troubleSite) {
			must(s, os.Remove(ballast))
			s.stopServer()
			s.startServer()
		},
	})
}

// unbegun is how many jobs have no record.
func (s *troubleSite) unbegun() int {
	s.Helper()
	records, err := s.admin.Stream(s.Context(), store.RecordsStream)
	must(s, err)
	return troubleJobs - int(records.CachedInfo().State.NumSubjects)
}

// deleted is a stream that somebody deletes, and setup makes again.
func deleted(stream, reason string) aTrouble {
	return aTrouble{
		name: stream + " deleted", reason: reason, kind: kindMissing + "|" + kindAbsent, long: true,
		do:   func(s *troubleSite) { must(s, s.admin.DeleteStream(context.WithoutCancel(s.Context()), stream)) },
		undo: (*troubleSite).setup,
	}
}

// full is a stream that has reached a limit, which is raised later.
func full(stream string) aTrouble {
	limit := func(s *troubleSite, bytes int64) {
		have, err := s.admin.Stream(s.Context(), stream)
		must(s, err)
		config := have.CachedInfo().Config
		config.MaxBytes = bytes
		_, err = s.admin.UpdateStream(s.Context(), config)
		must(s, err)
	}
	return aTrouble{
		name: stream + " full", reason: "write " + stream + ": full", kind: kindFull, long: true,
		do: func(s *troubleSite) {
			have, err := s.admin.Stream(s.Context(), stream)
			must(s, err)
			limit(s, int64(have.CachedInfo().State.Bytes)+1)
		},
		undo: func(s *troubleSite) { limit(s, -1) },
	}
}

// accountLimit bounds what the worker's account may store, -1 for no bound.
func (s *troubleSite) accountLimit(bytes int64) {
	s.Helper()
	must(s, s.server.GlobalAccount().UpdateJetStreamLimits(map[string]server.JetStreamAccountLimits{
		"": {MaxMemory: -1, MaxStore: bytes, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1},
	}))
}

// denied is permissions of the worker that are changed for a while.
func denied(what string, permissions *server.Permissions, reason string) aTrouble {
	return aTrouble{
		name: what + " denied", reason: reason, kind: kindDenied, long: true,
		do: func(s *troubleSite) {
			s.users([]*server.User{s.options.Users[0], {Username: workerUser, Password: "w", Permissions: permissions}})
		},
		undo: func(s *troubleSite) { s.users(s.options.Users) },
	}
}

func forbid(subject string) *server.Permissions {
	return &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{subject}}}
}

// users changes who may do what, as a reload of the server's configuration.
func (s *troubleSite) users(users []*server.User) {
	s.Helper()
	options := s.options
	options.Users = users
	must(s, s.server.ReloadOptions(&options))
}
