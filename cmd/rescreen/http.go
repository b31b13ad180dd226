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

// httpStop is how long a scrape under way may take when the worker ends.
const httpStop = time.Second

// serveHTTP serves /livez, /readyz and /metrics at an address, until the returned
// function is called; with no address it serves nothing. It goes on while the
// worker stops, so that one can see it stopping: ctx is only looked at for that.
func (st *station) serveHTTP(ctx context.Context, address string) (end func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, failedError(err, "Choose another place with --http-addr.")
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serve(serving, listener, st.handler(ctx), st.log, httpStop); err != nil {
			st.log.Error("health and metrics are not served any more", zap.Error(err))
		}
	}()
	st.log.Info("serving /livez, /readyz and /metrics", zap.Stringer("address", listener.Addr()))
	return func() { stop(); <-ended }, nil
}

// handler answers what can be asked of a running worker; ctx ends when it stops.
func (st *station) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		var reasons []string
		for _, loop := range st.health.Dead() {
			reasons = append(reasons, "loop does not turn: "+loop)
		}
		answerHealth(w, reasons)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		answerHealth(w, st.unready(ctx))
	})
	registry := st.registry(func() bool { return len(st.unready(ctx)) == 0 })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func (st *station) unready(ctx context.Context) []string {
	return unready(st.link.Conn.IsConnected(), ctx.Err() != nil, st.health.Troubles())
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
