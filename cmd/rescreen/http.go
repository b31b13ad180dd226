package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

const (
	// httpStop is how long a scrape under way may take when the worker ends.
	httpStop = time.Second
	// httpRead and httpWrite bound a request and its answer: anybody in the network
	// may ask, and who is slow must not hold what others need.
	httpRead, httpWrite = 10 * time.Second, 30 * time.Second
	// scrapesAtOnce is how many are answered at a time. Each writes some 50 KiB.
	scrapesAtOnce = 8
)

// serveHTTP serves /livez, /readyz and /metrics at an address, until the returned
// function is called; with no address it serves nothing. It goes on while the
// worker stops, so that one can see it stopping: ctx is only looked at for that.
func (st *station) serveHTTP(ctx context.Context, address string) (end func(), err error) {
	return serveAside(ctx, "--http-addr", address, "/livez, /readyz and /metrics", st.server(ctx), st.log)
}

func (st *station) server(ctx context.Context) *http.Server {
	return &http.Server{Handler: st.handler(ctx), ReadTimeout: httpRead, WriteTimeout: httpWrite}
}

// serveAside serves something at the address that a flag gives, beside what the
// process does, until the returned function is called. With no address it does nothing.
func serveAside(ctx context.Context, flag, address, what string, server *http.Server, log *zap.Logger) (end func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, failedError(err, "Choose another place with "+flag+".")
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serve(serving, listener, server, log, httpStop); err != nil {
			log.Error("not served any more: "+what, zap.Error(err))
		}
	}()
	log.Info("serving "+what, zap.Stringer("address", listener.Addr()))
	return func() { stop(); <-ended }, nil
}

// handler answers what can be asked of a running worker; ctx ends when it stops.
//
// /healthz is /livez under the name that many probes have as their default. It is
// not /readyz: whoever restarts a worker because NATS is away makes it worse.
func (st *station) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	live := func(w http.ResponseWriter, _ *http.Request) {
		var reasons []string
		for _, loop := range st.health.Dead() {
			reasons = append(reasons, "loop does not turn: "+loop)
		}
		answerHealth(w, reasons)
	}
	mux.HandleFunc("GET /livez", live)
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answerHealth(w, st.unready(ctx))
	})
	registry := st.registry(func() bool { return len(st.unready(ctx)) == 0 })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// One collector in trouble does not hide the others.
		ErrorHandling: promhttp.ContinueOnError, ErrorLog: zap.NewStdLog(st.log),
		EnableOpenMetrics: true, MaxRequestsInFlight: scrapesAtOnce,
	}))
	return mux
}

func (st *station) unready(ctx context.Context) []string {
	return unready(st.link.Conn.IsConnected(), ctx.Err() != nil, st.noToken(), st.health.Troubles())
}

// answerHealth says ok, or why not, one reason a line.
func answerHealth(w http.ResponseWriter, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	} else {
		reasons = []string{"ok"}
	}
	// An error means that nobody waits for the answer any more.
	_, _ = fmt.Fprintln(w, strings.Join(reasons, "\n"))
}
