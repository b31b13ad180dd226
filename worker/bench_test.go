package worker_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"rescreen/apiclient"
	"rescreen/apiclient/personal"
	"rescreen/queue"
	"rescreen/queue/natsembed"
	"rescreen/store"
	"rescreen/worker"
)

// instantAPI creates sessions that are ready at once, so that a benchmark
// measures the worker and JetStream alone.
type instantAPI struct{ sessions atomic.Int64 }

const instantDocument = `{"keyInformation":{"name":"Ola Testbruker"},"aml":{"status":"NONE","list":["UN_CONSOLIDATED","EU_GLOBAL"],"pepResults":[],"sanctionResults":[]},"n":%q}`

func (a *instantAPI) CreateSession(ctx context.Context, admit apiclient.Admit, _ apiclient.Query) (apiclient.SessionID, error) {
	if err := admit(ctx); err != nil {
		return "", err
	}
	return apiclient.SessionID(fmt.Sprintf("session-%d", a.sessions.Add(1))), nil
}

func (a *instantAPI) Session(ctx context.Context, admit apiclient.Admit, _ apiclient.Ref) (apiclient.Session, error) {
	if err := admit(ctx); err != nil {
		return apiclient.Session{}, err
	}
	ready := apiclient.Entity{Status: "READY", Present: true}
	return apiclient.Session{Document: ready, Report: ready}, nil
}

func (a *instantAPI) Document(ctx context.Context, admit apiclient.Admit, ref apiclient.Ref, _ string) ([]byte, error) {
	if err := admit(ctx); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, instantDocument, ref.ID), nil
}

func (a *instantAPI) Report(context.Context, apiclient.Admit, apiclient.Ref, string) (apiclient.Report, error) {
	return apiclient.Report{}, fmt.Errorf("no report was ordered")
}

func (a *instantAPI) View(document []byte) (apiclient.View, error) {
	return apiclient.DefaultProfile().ViewDocument(document)
}

// BenchmarkJobs takes b.N jobs from the stream to their results over embedded
// JetStream (one copy, default sync), evidence included.
//
//	go test ./worker -run '^$' -bench Jobs -benchtime 20000x
func BenchmarkJobs(b *testing.B) {
	for _, slots := range []int{16, 64, 128} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) { benchmarkJobs(b, slots) })
	}
}

func benchmarkJobs(b *testing.B, slots int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	js := benchServer(b)
	st, err := store.Open(ctx, js, time.Now)
	must(b, err)
	jobs, err := queue.OpenJobs(ctx, js)
	must(b, err)
	must(b, jobs.EnsureConsumer(ctx, "b"))
	batches, err := queue.OpenBatches(ctx, js)
	must(b, err)
	due, err := queue.OpenPuller(ctx, js, store.WakesStream, store.DueConsumerName)
	must(b, err)
	publishJobs(b, jobs, b.N)

	api := &instantAPI{}
	plenty := worker.Budget{Rate: 1e6, Burst: 1000}
	cfg := worker.DefaultConfig()
	cfg.APIEnv, cfg.ID, cfg.Slots, cfg.MaxOpen = "local", "bench", slots, 1_000_000
	cfg.Create, cfg.Requests = plenty, plenty
	cfg.Plan = worker.Plan{First: time.Millisecond, Max: time.Millisecond, Factor: 1}
	w, err := worker.New(cfg, worker.Deps{
		Ledger: st.Ledger, Wakes: st.Wakes, Outcomes: st.Outcomes, Evidence: st.Evidence, Registers: st.Registers, Signals: st.Signals, Clock: st.Clock,
		Sessions: api, Entities: api, Due: due, Jobs: jobs, Batches: queue.NewCaretaker(jobs, batches),
		Log: zap.NewNop(),
	})
	must(b, err)

	b.ResetTimer()
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	for w.Stats().Done < int64(b.N) {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	cancel()
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	if n := api.sessions.Load(); n != int64(b.N) {
		b.Errorf("%d sessions for %d jobs", n, b.N)
	}
}

func benchServer(b *testing.B) jetstream.JetStream {
	server, err := natsembed.Start(natsembed.Config{Dir: b.TempDir()})
	must(b, err)
	b.Cleanup(server.Shutdown)
	nc, err := nats.Connect("", server.InProcess(), nats.ReconnectBufSize(-1))
	must(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	must(b, err)
	for _, s := range append(queue.Streams(queue.Options{}), store.Streams(store.Options{})...) {
		_, err := js.CreateStream(b.Context(), s)
		must(b, err)
	}
	_, err = js.CreateKeyValue(b.Context(), queue.BatchesBucketConfig(queue.Options{}))
	must(b, err)
	_, err = js.CreateConsumer(b.Context(), store.WakesStream, store.DueConsumer())
	must(b, err)
	return js
}

func publishJobs(b *testing.B, jobs *queue.Jobs, n int) {
	var chunk []queue.Job
	for i := range n {
		chunk = append(chunk, queue.Job{
			ID: queue.JobID(fmt.Sprintf("job-%d", i)), CustomerRef: fmt.Sprintf("C-%06d", i),
			FirstName: "Ola", LastName: personal.Text(fmt.Sprintf("Testbruker%d", i)), DateOfBirth: "1980-02-29",
		}.WithDefaults())
		if len(chunk) == 256 || i == n-1 {
			_, err := jobs.Publish(b.Context(), "b", chunk)
			must(b, err)
			chunk = nil
		}
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
