package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fetch returns status, content type and body of a page.
func fetch(t *testing.T, method, url, accept string) (status int, contentType, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	must(t, err)
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, response.Header.Get("Content-Type"), string(text)
}

// What a worker serves, and what it does not.
func TestWhatAWorkerServes(t *testing.T) {
	besideOthers(t)
	site := newTroubleSite(t)
	st := quietStation(t, site.server.ClientURL(), workerUser, "w")
	st.login.heard(nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := httptest.NewServer(st.handler(ctx))
	defer served.Close()
	profiles := httptest.NewServer(profilesHandler())
	defer profiles.Close()
	const openMetrics = "application/openmetrics-text; version=1.0.0"
	for _, c := range []struct {
		method, url, accept string
		status              int
		contentType, body   string // beginning and part
	}{
		{"GET", served.URL + "/livez", "", 200, "text/plain", "ok"},
		{"GET", served.URL + "/healthz", "", 200, "text/plain", "ok"},
		{"GET", served.URL + "/readyz", "", 200, "text/plain", "ok"},
		{"GET", served.URL + "/metrics", "", 200, "text/plain; version=0.0.4", "\nrescreen_ready 1\n"},
		{"GET", served.URL + "/metrics", openMetrics, 200, openMetrics, "\nrescreen_ready 1.0\n"},
		{"POST", served.URL + "/metrics", "", 405, "", ""},
		{"GET", served.URL + "/", "", 404, "", ""},
		// Profiles have a place of their own, and the command line is not among them.
		{"GET", served.URL + "/debug/pprof/", "", 404, "", ""},
		{"GET", served.URL + "/debug/pprof/heap", "", 404, "", ""},
		{"GET", profiles.URL + "/debug/pprof/", "", 200, "text/html", "heap"},
		{"GET", profiles.URL + "/debug/pprof/heap", "", 200, "application/octet-stream", ""},
		{"GET", profiles.URL + "/debug/pprof/cmdline", "", 404, "", ""},
		{"GET", profiles.URL + "/metrics", "", 404, "", ""},
	} {
		status, contentType, body := fetch(t, c.method, c.url, c.accept)
		if status != c.status || !strings.HasPrefix(contentType, c.contentType) || !strings.Contains(body, c.body) {
			t.Errorf("%s %s (%s): %d, %s, want %d, %s\n%.300s", c.method, c.url, c.accept, status, contentType, c.status, c.contentType, body)
		}
	}
	if s := st.server(ctx); s.ReadTimeout <= 0 || s.WriteTimeout <= 0 {
		t.Errorf("who is slow may take for ever: %+v", s)
	}
	stop()
	if status, _, body := fetch(t, "GET", served.URL+"/readyz", ""); status != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("a worker that stops: %d, %s", status, body)
	}
	if status, _, _ := fetch(t, "GET", served.URL+"/healthz", ""); status != 200 {
		t.Errorf("a worker that stops is alive: %d", status)
	}
}
