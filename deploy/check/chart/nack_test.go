package chart

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write files/jetstream.yaml from what rescreen setup makes")

// TestNACKMakesWhatSetupMakes lets `rescreen setup` make the streams on one cluster and the resources of NACK on
// another, and compares what the servers say of them, member by member.
func TestNACKMakesWhatSetupMakes(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprintf("R%d", replicas), func(t *testing.T) {
			js := connect(t, startNATS(t, replicas)[0])
			want := setUp(t, js)
			if replicas == 1 {
				checkJetStreamFile(t, want)
			}
			for name := range want.streams {
				if err := js.DeleteStream(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			all := render(t, "r", with(valuesFile(t, "minimal-values.yaml"),
				parseValues(t, fmt.Sprintf("setup: {enabled: false}\nnack: {enabled: true, replicas: %d}", replicas))))
			got := applyNACK(t, js, all)
			compare(t, "stream", want.streams, got.streams)
			compare(t, "consumer", want.consumers, got.consumers)
		})
	}
}

// setUp runs `rescreen setup`.
func setUp(t *testing.T, js jetstream.JetStream) configs {
	t.Helper()
	out := program(t, []string{"NATS_URL=" + js.Conn().ConnectedUrl()}, "setup")
	if out.code != 0 {
		t.Fatalf("rescreen setup: exit %d\n%s", out.code, out.stderr)
	}
	return readConfigs(t.Context(), t, js)
}

func compare[T any](t *testing.T, what string, want, got map[string]T) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("setup made no %s", what)
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s %s: not one that setup makes", what, name)
		}
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			t.Errorf("%s %s: missing", what, name)
			continue
		}
		have, should := reflect.ValueOf(g), reflect.ValueOf(w)
		for i := range should.NumField() {
			if !reflect.DeepEqual(have.Field(i).Interface(), should.Field(i).Interface()) {
				t.Errorf("%s %s: %s is %v, setup makes %v", what, name, should.Type().Field(i).Name, have.Field(i), should.Field(i))
			}
		}
	}
}

// applyNACK does what the controller of NACK does with the resources.
func applyNACK(t *testing.T, js jetstream.JetStream, all objects) configs {
	t.Helper()
	for _, s := range of[*nackStream](all) {
		if !s.Spec.PreventDelete {
			t.Errorf("stream %s goes with its resource, and all that is in it", s.Spec.Name)
		}
		if _, err := js.CreateStream(t.Context(), s.Spec.config(t)); err != nil {
			t.Errorf("stream %s: %v", s.Spec.Name, err)
		}
	}
	for _, c := range of[*nackConsumer](all) {
		if !c.Spec.PreventDelete {
			t.Errorf("consumer %s goes with its resource", c.Spec.DurableName)
		}
		if err := createConsumer(t.Context(), js, c.Spec.StreamName, c.Spec.config(t)); err != nil {
			t.Errorf("consumer %s: %v", c.Spec.DurableName, err)
		}
	}
	return readConfigs(t.Context(), t, js)
}

func createConsumer(ctx context.Context, js jetstream.JetStream, stream string, c jetstream.ConsumerConfig) error {
	_, err := js.CreateConsumer(ctx, stream, c)
	return err
}

// config maps a resource as NACK does: onto the defaults of its client, which keeps everything for a year unless told.
func (s nackStreamSpec) config(t *testing.T) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: s.Name, Description: s.Description, Subjects: s.Subjects, Replicas: s.Replicas, Metadata: s.Metadata,
		MaxConsumers: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxBytes: -1, MaxMsgSize: -1, MaxAge: 365 * 24 * time.Hour,
		DenyDelete: s.DenyDelete, AllowRollup: s.AllowRollup, AllowDirect: s.AllowDirect,
		AllowMsgTTL: s.AllowMsgTTL, AllowMsgSchedules: s.AllowMsgSchedules,
		Retention: one(t, s.Retention, "limits", jetstream.LimitsPolicy, "workqueue", jetstream.WorkQueuePolicy),
		Discard:   one(t, s.Discard, "old", jetstream.DiscardOld, "new", jetstream.DiscardNew),
		Storage:   one(t, s.Storage, "file", jetstream.FileStorage, "memory", jetstream.MemoryStorage),
	}
	if s.MaxMsgsPerSubject > 0 {
		c.MaxMsgsPerSubject = s.MaxMsgsPerSubject
	}
	if s.MaxBytes != 0 {
		c.MaxBytes = s.MaxBytes
	}
	if s.MaxMsgSize != 0 {
		c.MaxMsgSize = s.MaxMsgSize
	}
	if s.MaxAge != "" {
		c.MaxAge = duration(t, s.MaxAge)
	}
	if s.DuplicateWindow != "" {
		c.Duplicates = duration(t, s.DuplicateWindow)
	}
	return c
}

func (s nackConsumerSpec) config(t *testing.T) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: s.DurableName, Description: s.Description, FilterSubject: s.FilterSubject, Metadata: s.Metadata,
		MaxDeliver: s.MaxDeliver, MaxAckPending: s.MaxAckPending, MaxWaiting: s.MaxWaiting, AckWait: duration(t, s.AckWait),
		DeliverPolicy: one(t, s.DeliverPolicy, "all", jetstream.DeliverAllPolicy, "new", jetstream.DeliverNewPolicy),
		AckPolicy:     one(t, s.AckPolicy, "explicit", jetstream.AckExplicitPolicy, "none", jetstream.AckNonePolicy),
		ReplayPolicy:  one(t, s.ReplayPolicy, "instant", jetstream.ReplayInstantPolicy, "original", jetstream.ReplayOriginalPolicy),
	}
}

// one is the meaning of one of two words.
func one[T any](t *testing.T, word, a string, meansA T, b string, meansB T) T {
	t.Helper()
	switch word {
	case a:
		return meansA
	case b:
		return meansB
	}
	t.Fatalf("%q is neither %s nor %s", word, a, b)
	return meansA
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fileEntry is one resource in files/jetstream.yaml.
type fileEntry struct {
	Kind string `json:"kind"`
	Name string `json:"name"` // after the full name of the release
	Spec any    `json:"spec"`
}

// checkJetStreamFile compares files/jetstream.yaml with what is there, or writes it.
func checkJetStreamFile(t *testing.T, from configs) {
	t.Helper()
	var entries []fileEntry
	for _, c := range from.streams {
		entries = append(entries, fileEntry{"Stream", resourceName(c.Name), streamSpec(c)})
	}
	for key, c := range from.consumers {
		stream, _, _ := strings.Cut(key, " ")
		entries = append(entries, fileEntry{"Consumer", resourceName(c.Durable), consumerSpec(stream, c)})
	}
	slices.SortFunc(entries, func(a, b fileEntry) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) // streams first
	})
	want, err := yaml.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	want = append([]byte("# What rescreen setup makes on a single server, for NACK. Made by:\n#   go test ./chart -run NACK -update\n"), want...)
	file := filepath.Join(chartDir, "files", "jetstream.yaml")
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what rescreen setup makes (%v): go test ./chart -run NACK -update", file, err)
	}
}

func resourceName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

// streamSpec says all that differs from NACK's defaults; the age always, whose default is a year.
func streamSpec(c jetstream.StreamConfig) nackStreamSpec {
	return nackStreamSpec{
		Name: c.Name, Description: c.Description, Subjects: c.Subjects, Metadata: c.Metadata,
		Retention: word(c.Retention), Storage: word(c.Storage), Discard: word(c.Discard),
		MaxMsgsPerSubject: max(c.MaxMsgsPerSubject, 0), MaxBytes: max(c.MaxBytes, 0), MaxMsgSize: max(c.MaxMsgSize, 0),
		MaxAge: c.MaxAge.String(), DuplicateWindow: c.Duplicates.String(),
		DenyDelete: c.DenyDelete, AllowRollup: c.AllowRollup, AllowDirect: c.AllowDirect,
		AllowMsgTTL: c.AllowMsgTTL, AllowMsgSchedules: c.AllowMsgSchedules,
	}
}

func consumerSpec(stream string, c jetstream.ConsumerConfig) nackConsumerSpec {
	return nackConsumerSpec{
		StreamName: stream, DurableName: c.Durable, Description: c.Description, FilterSubject: c.FilterSubject,
		DeliverPolicy: word(c.DeliverPolicy), AckPolicy: word(c.AckPolicy), ReplayPolicy: word(c.ReplayPolicy),
		AckWait: c.AckWait.String(), MaxDeliver: c.MaxDeliver, MaxAckPending: c.MaxAckPending, MaxWaiting: c.MaxWaiting,
		Metadata: c.Metadata,
	}
}

// word is how NATS spells one of its constants.
func word(constant json.Marshaler) string {
	text, err := constant.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return strings.Trim(string(text), `"`)
}
