package main

import (
	"rescreen/queue"
	"rescreen/store"
)

// This file goes when the roles have a file of their own, roles.go.

type role struct {
	name            string
	publish, listen []string
}

func roles() ([]role, error) {
	api := func(verb string, tokens string) string { return "$JS.API." + verb + "." + tokens }
	worker := role{name: "worker", listen: []string{"screening.limits.*"}, publish: []string{
		"screening.record.*.*", "screening.wake.*.*.*", "screening.result.*.*.*", "screening.failure.*.*.*", "screening.evidence.*",
		"$KV.screening_limits.*", "$KV.screening_batches.*", "$O.screening_evidence.C.*", "$O.screening_evidence.M.*", "screening.limits.*",
		api("CONSUMER.MSG.NEXT", "SCREENING_WAKES.due"), api("CONSUMER.MSG.NEXT", "SCREENING_JOBS.*"),
		api("CONSUMER.INFO", "SCREENING_WAKES.due"), api("CONSUMER.INFO", "SCREENING_JOBS.*"),
		api("CONSUMER.LIST", "SCREENING_JOBS"), api("CONSUMER.CREATE", "SCREENING_JOBS.*.screening.jobs.*"), api("CONSUMER.DELETE", "SCREENING_JOBS.*"),
		"$JS.ACK.SCREENING_WAKES.due.>", "$JS.ACK.SCREENING_JOBS.*.>", "$JS.API.DIRECT.GET.KV_screening_batches.$KV.screening_batches.*",
	}}
	setup := role{name: "setup", publish: []string{"$JS.API.STREAM.PURGE." + store.LimitsStream}}
	for _, s := range wantedStreams(1) {
		worker.publish = append(worker.publish, api("STREAM.INFO", s.Name), api("STREAM.MSG.GET", s.Name))
		for _, verb := range []string{"STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE"} {
			setup.publish = append(setup.publish, api(verb, s.Name))
		}
	}
	return []role{
		worker,
		{name: "submitter", publish: []string{queue.JobSubject("*"), "$KV.screening_batches.*"}},
		{name: "consumer", publish: []string{api("CONSUMER.CREATE", store.ResultsStream+".*.>"), api("CONSUMER.MSG.NEXT", store.ResultsStream+".*")}},
		{name: "operator", publish: []string{"$KV.screening_limits.*"}},
		setup,
	}, nil
}
