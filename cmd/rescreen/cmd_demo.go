package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	"rescreen/apiclient/amlsim"
	"rescreen/queue"
	"rescreen/queue/natsembed"
	"rescreen/testdata"
)

// demoCmd shows the whole thing in one process: NATS, a simulated API, a
// worker, and a portfolio that goes through them.
type demoCmd struct {
	File string `arg:"" optional:"" help:"Portfolio, CSV or NDJSON. Without one, the sample of 500 people nobody is."`
	To   string `flag:"only" default:"rescreen-demo" placeholder:"DIR" help:"Where results, evidence, rejects and the log go; what an earlier demo left there is replaced."`
}

// What the simulated API of the demo allows, and so what its worker's limits are.
const (
	demoCreateRate, demoCreateBurst   = 50, 10
	demoRequestRate, demoRequestBurst = 300, 30
	demoPollFirst                     = time.Second
)

func demoAPI() amlsim.Config {
	return amlsim.Config{
		Seed:        1,
		ReadyAfter:  amlsim.LogNormal(2*time.Second, 0.6, 300*time.Millisecond, 8*time.Second),
		ReportAfter: amlsim.LogNormal(time.Second, 0.5, 200*time.Millisecond, 3*time.Second),
		Latency:     amlsim.LogNormal(30*time.Millisecond, 0.5, 5*time.Millisecond, 250*time.Millisecond),
		Shape:       amlsim.ShapeMixed,
		Gzip:        true,
		CreateRate:  demoCreateRate, CreateBurst: demoCreateBurst,
		RequestRate: demoRequestRate, RequestBurst: demoRequestBurst,
	}
}

// Run implements the command. It ends without an error when every row is
// accounted for: as a reject, a result or a failure.
func (c *demoCmd) Run(ctx context.Context, a *app) error {
	in, name, err := c.open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // opened for reading: nothing can be lost
	if err := clearDemo(c.To); err != nil {
		return err
	}
	logFile, err := os.OpenFile(filepath.Join(c.To, demoLog), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return failedError(err, "")
	}
	defer func() { _ = logFile.Close() }()
	d, err := newDemo(ctx, c.To, logSettings{LogLevel: a.grammar.LogLevel, LogFormat: "json"}.logger(logFile))
	if err != nil {
		return err
	}
	defer d.close()
	show := a.progress(a.stderr)
	defer show.end()
	show.note("Screening " + name + " with a worker, NATS and a simulated API in this process.")
	outcome, err := d.screen(ctx, in, show)
	if err != nil {
		return err
	}
	show.end()
	outcome.portfolio = name
	if err := outcome.print(a.stdout, a.colours(a.stdout)); err != nil {
		return err
	}
	return outcome.verdict()
}

// demoFile is a portfolio that is read twice.
type demoFile struct {
	io.ReadSeeker
	close func() error
}

func (f demoFile) Close() error { return f.close() }

// open returns the portfolio and what to call it.
func (c *demoCmd) open() (demoFile, string, error) {
	if c.File == "" {
		return demoFile{strings.NewReader(testdata.Portfolio()), func() error { return nil }}, "testdata/portfolio.csv", nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return demoFile{}, "", usageError(err, "Name a CSV or NDJSON file, or none for the sample.")
	}
	return demoFile{f, f.Close}, c.File, nil
}

// What a demo leaves in its directory besides an export.
const (
	demoLog     = "worker.log"
	demoRejects = "rejects.csv"
	// demoMark says that the directory is a demo's, to be replaced by the next.
	demoMark = ".rescreen-demo"
)

// clearDemo makes the directory, or empties one that an earlier demo made. It
// touches no other.
func clearDemo(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return usageError(err, "Choose another directory with --to.")
	}
	if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(dir, demoMark)); err != nil {
			return usageError(fmt.Errorf("%s is not empty, and no demo made it", dir), "Choose another directory with --to.")
		}
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return failedError(err, "")
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failedError(err, "Choose another directory with --to.")
	}
	return os.WriteFile(filepath.Join(dir, demoMark), nil, 0o600)
}

// demo is everything the demo runs, in one process.
type demo struct {
	dir     string
	station *station
	desk    *batchDesk
	sim     *amlsim.Simulator
	closers []func()
}

// newDemo starts NATS and the simulated API and puts a worker together. NATS
// keeps its files in a directory that goes with the demo.
func newDemo(ctx context.Context, dir string, log *zap.Logger) (_ *demo, err error) {
	d := &demo{dir: dir, sim: amlsim.New(demoAPI())}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	data, err := os.MkdirTemp("", "rescreen-demo-")
	if err != nil {
		return nil, failedError(err, "")
	}
	d.closers = append(d.closers, func() { _ = os.RemoveAll(data) })
	link, stop, err := embed(ctx, natsembed.Config{Dir: data, Log: log}, "rescreen demo", log)
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, stop)
	issuer, err := d.serveAPI(ctx, log)
	if err != nil {
		return nil, err
	}
	settings, err := demoSettings(issuer)
	if err != nil {
		return nil, err
	}
	if d.station, err = newStation(ctx, time.Now, link, settings, nil, log, nil); err != nil {
		return nil, err
	}
	d.desk, err = openBatchDesk(ctx, link.JS)
	return d, err
}

// close ends what newDemo began, in reverse.
func (d *demo) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
	d.closers = nil
}

// serveAPI serves the simulated API on a free port of this machine.
func (d *demo) serveAPI(ctx context.Context, log *zap.Logger) (issuer string, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", failedError(err, "")
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	var served sync.WaitGroup
	served.Go(func() {
		if err := serve(serving, listener, &http.Server{Handler: d.sim}, log, simulatorStop); err != nil {
			log.Error("simulated API", zap.Error(err))
		}
	})
	d.closers = append(d.closers, func() { stop(); served.Wait() })
	return "http://" + listener.Addr().String() + amlsim.RealmPath, nil
}

// defaultWorkerSettings are what the worker's flags say when none is given.
func defaultWorkerSettings() (workerSettings, error) {
	var flags struct{ workerSettings }
	parser, err := kong.New(&flags)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	return flags.workerSettings, err
}

// demoSettings are the worker's defaults, but for where the API is and how
// fast it may be called.
func demoSettings(issuer string) (workerSettings, error) {
	s, err := defaultWorkerSettings()
	if err != nil {
		return s, err
	}
	s.API.APIEnv, s.API.APIIssuer = envLocal, issuer
	s.Budgets.CreateRate, s.Budgets.CreateBurst = perSecond(demoCreateRate), demoCreateBurst
	s.Budgets.RequestRate, s.Budgets.RequestBurst = perSecond(demoRequestRate), demoRequestBurst
	s.Lifecycle.PollFirst = demoPollFirst
	return s, nil
}

// screen takes the portfolio through the worker and writes what came of it.
func (d *demo) screen(ctx context.Context, in io.ReadSeeker, show *progress) (demoOutcome, error) {
	began := time.Now()
	sub, err := d.desk.submitPortfolio(ctx, in, submitOptions{
		By: "demo", Rejects: filepath.Join(d.dir, demoRejects), Tell: show.note,
	})
	if err != nil {
		return demoOutcome{}, err
	}
	if err := d.work(ctx, sub.Batch, show); err != nil {
		return demoOutcome{}, err
	}
	took := time.Since(began)
	exported, err := d.desk.exportBatch(ctx, d.station.store.Evidence, sub.Name, d.dir, exportOptions{Tell: show.note})
	if err != nil {
		return demoOutcome{}, err
	}
	return demoOutcome{dir: d.dir, submitted: sub, exported: exported, api: d.sim.Stats(), took: took}, nil
}

// work runs the worker until every job of the batch has its outcome.
func (d *demo) work(ctx context.Context, batch queue.Batch, show *progress) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- d.station.run(working)
		stop() // without a worker there is nothing to watch
	}()
	_, err := d.desk.watch(working, batch.Name, watchOptions{
		Every: 200 * time.Millisecond,
		Seen:  func(status batchStatus) { show.show(status.reading(show.paint)) },
		Tell:  show.note,
	})
	stop()
	return errors.Join(err, <-ended)
}
