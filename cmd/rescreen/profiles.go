package main

import (
	"context"
	"net/http"
	"net/http/pprof"

	"go.uber.org/zap"
)

// serveProfiles serves profiles of this process at an address, until the returned
// function is called; with no address it serves nothing.
func serveProfiles(ctx context.Context, address string, log *zap.Logger) (end func(), err error) {
	// A profile is written for as long as its caller asks for.
	server := &http.Server{Handler: profilesHandler(), ReadTimeout: httpRead}
	return serveAside(ctx, "--pprof-addr", address, "profiles under /debug/pprof/", server, log)
}

// profilesHandler has what go tool pprof asks for. The package also registers all of
// it with http.DefaultServeMux, which nothing of ours serves. Left out is the
// command line, for a secret may stand in it, and what Go's profiles do not need:
// looking symbols up.
func profilesHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
