package main

import (
	"context"

	"rescreen/queue"
)

// streamSpace compares what streams hold with their own limits. Ours have none but
// the one of jobs; an operator may have set others.
func (n *natsDoctor) streamSpace(context.Context) finding {
	var found []finding
	limited := 0
	fullest, of := 0.0, ""
	for _, want := range wantedStreams(1) {
		seen := n.streams[want.Name]
		if seen.err != nil {
			continue
		}
		config, state := seen.info.Config, seen.info.State
		for _, limit := range []struct {
			what      string
			used, max int64
			text      func(int64) string
		}{
			{"max_bytes", int64(state.Bytes), config.MaxBytes, sizeText},
			{"max_msgs", int64(state.Msgs), config.MaxMsgs, grouped},
		} {
			if limit.max <= 0 {
				continue
			}
			limited++
			used := float64(limit.used) / float64(limit.max)
			if used >= fullest {
				fullest, of = used, want.Name
			}
			do := "Raise the limit: nats stream edit " + want.Name + " --max-bytes … (or --max-msgs). A full stream refuses every write, and jobs wait." + asSetup
			if want.Name == queue.JobsStream {
				do = "Let the workers work it off, or raise the limit: nats stream edit " + want.Name + " --max-bytes …. Until there is room, submissions wait; nothing is lost." + asSetup
			}
			f := filling(used, do, "%s is %.0f %% full (%s: %s of %s)", want.Name, 100*used, limit.what, limit.text(limit.used), limit.text(limit.max))
			if f.Status == statusFail && want.Name == queue.JobsStream {
				f.Status = statusWarn // that is how producers are slowed down
			}
			found = append(found, f)
		}
	}
	if limited == 0 {
		return fine("no stream has a limit, or may be seen")
	}
	return together(found, fine("the fullest, %s, is at %.0f %% of its limit", of, 100*fullest))
}

// accountSpace compares what our account holds with what it may.
func (n *natsDoctor) accountSpace(ctx context.Context) finding {
	ctx, cancel := n.asking(ctx, accountName)
	defer cancel()
	account, err := n.link.JS.AccountInfo(ctx)
	if err != nil {
		return notKnown("this user may not ask, or nobody answers: see jetstream")
	}
	const do = "Have the account's limit raised (max_file, or jetstream limits of the account), or keep less: nats account info shows it. At the limit every write is refused, and jobs wait."
	var found []finding
	limited := false
	for _, tier := range account.Tiers {
		if tier.Limits.MaxStore > 0 {
			limited = true
			used := float64(max(tier.Store, tier.ReservedStore)) / float64(tier.Limits.MaxStore)
			found = append(found, filling(used, do, "the account holds %s of the %s it may", sizeText(int64(tier.Store)), sizeText(tier.Limits.MaxStore)))
		}
	}
	if account.Limits.MaxStore > 0 {
		limited = true
		used := float64(account.Store) / float64(account.Limits.MaxStore)
		found = append(found, filling(used, do, "the account holds %s of the %s it may", sizeText(int64(account.Store)), sizeText(account.Limits.MaxStore)))
	}
	if !limited {
		return fine("the account has no limit; it holds %s", sizeText(int64(account.Store)))
	}
	return together(found, fine("%s", found[0].Found))
}
