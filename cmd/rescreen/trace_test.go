package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rescreen/apiclient/amlsim"
)

// exportedSpan is a span as the console exporter writes it.
type exportedSpan struct {
	Name        string
	SpanContext spanID
	Parent      spanID
	StartTime   time.Time
	Events      []struct {
		Name       string
		Attributes attributes
	}
	Links []struct {
		SpanContext spanID
		Attributes  attributes
	}
	Resource attributes
}

type spanID struct{ TraceID, SpanID string }

type attributes []struct {
	Key   string
	Value struct{ Value any }
}

func (a attributes) get(key string) string {
	for _, kv := range a {
		if kv.Key == key {
			return fmt.Sprint(kv.Value.Value)
		}
	}
	return ""
}

// linkedTo is the span that the span is linked to as what.
func (s exportedSpan) linkedTo(what string) string {
	for _, l := range s.Links {
		if l.Attributes.get("rescreen.link") == what {
			return l.SpanContext.SpanID
		}
	}
	return ""
}

// tells is what happened in it, in order.
func (s exportedSpan) tells() string {
	var events []string
	for _, e := range s.Events {
		what := e.Name
		for _, key := range []string{"rescreen.call", "rescreen.record.state"} {
			if v := e.Attributes.get(key); v != "" {
				what += " " + v
			}
		}
		events = append(events, what)
	}
	return strings.Join(events, ", ")
}

func spansIn(t *testing.T, log string) []exportedSpan {
	t.Helper()
	var spans []exportedSpan
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, `{"Name":`) {
			continue
		}
		var s exportedSpan
		must(t, json.Unmarshal([]byte(line), &s))
		spans = append(spans, s)
	}
	return spans
}

// TestTraceOfOneJob follows a job through its spans: submitted by one process,
// begun by a worker, ended by another.
func TestTraceOfOneJob(t *testing.T) {
	t.Parallel()
	s := newCrashSite(t, 1, 5, amlsim.Config{ReadyAfter: amlsim.Fixed(5 * time.Second)})
	exe, err := os.Executable()
	must(t, err)
	console := []string{"OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=100"}
	file := filepath.Join(t.TempDir(), "portfolio.csv")
	must(t, os.WriteFile(file, []byte("customer_ref,first_name,last_name,date_of_birth\nC-1,Kari,"+crashMarker+","+crashBorn+"\n"), 0o600))
	submit := exec.CommandContext(t.Context(), exe, "batch", "submit", file, "--server", s.urls())
	submit.Args[0], submit.Env = "rescreen", append(os.Environ(), console...)
	var log strings.Builder
	submit.Stderr = &log
	must(t, submit.Run())

	one := s.workerOf(exe, "rescreen", console, "--poll-first", "1s", "--poll-factor", "1")
	s.await("a poll of the first worker", longEnough, func() bool { return strings.Contains(one.log.String(), `"msg":"poll done"`) })
	two := s.workerOf(exe, "rescreen", console, "--poll-first", "1s", "--poll-factor", "1")
	one.stop()
	s.await("the result of the second", longEnough, func() bool { return strings.Contains(two.log.String(), `"state":"done"`) })
	two.stop()

	spans := slices.Concat(spansIn(t, log.String()), spansIn(t, one.log.String()), spansIn(t, two.log.String()))
	slices.SortFunc(spans, func(a, b exportedSpan) int { return a.StartTime.Compare(b.StartTime) })
	var names []string
	processes := map[string]bool{}
	var job, before string
	for _, span := range spans {
		names = append(names, span.Name)
		processes[span.Resource.get("service.instance.id")] = true
		if span.Parent.SpanID != strings.Repeat("0", 16) {
			t.Errorf("%s has a parent", span.Name)
		}
		switch span.Name {
		case "submit":
		case "submit job":
			job = span.SpanContext.SpanID
		default:
			if span.linkedTo("job") != job || span.linkedTo("step_before") != before {
				t.Errorf("%s is linked to job %s and step %s, want %s and %s", span.Name, span.linkedTo("job"), span.linkedTo("step_before"), job, before)
			}
			before = span.SpanContext.SpanID
			t.Log(span.Name, ":", span.tells())
		}
		want, known := map[string]string{
			"submit": "", "submit job": "",
			"intake": "commit creating, call create, commit waiting",
			"poll":   "call poll",
			"fetch":  "call poll, call fetch, commit done, publish",
		}[span.Name]
		if !known || span.tells() != want {
			t.Errorf("%s tells of %s, want %s", span.Name, span.tells(), want)
		}
	}
	if got := strings.Join(slices.Compact(names), ", "); got != "submit, submit job, intake, poll, fetch" {
		t.Errorf("the spans are %s", got)
	}
	if len(processes) != 3 {
		t.Errorf("they come from %d processes, want 3", len(processes))
	}
	for _, p := range []string{log.String(), one.log.String(), two.log.String()} {
		if strings.Contains(p, crashMarker) || strings.Contains(p, crashBorn) {
			t.Error("a log or a span tells who it is")
		}
	}
}
