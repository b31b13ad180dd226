package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// monitorTimeout bounds a request to a monitoring endpoint.
const monitorTimeout = 5 * time.Second

// maxMonitorBytes bounds its answer; a server's has some 10 KiB.
const maxMonitorBytes = 4 << 20

// serverFacts is what a nats-server says about itself under /varz.
type serverFacts struct {
	Name      string `json:"server_name"`
	Version   string `json:"version"`
	JetStream struct {
		Config *storeConfig `json:"config"` // nil without JetStream
		Stats  *struct {
			Used     int64 `json:"storage"`
			Reserved int64 `json:"reserved_storage"`
		} `json:"stats"`
	} `json:"jetstream"`
}

type storeConfig struct {
	Max          int64         `json:"max_storage"` // bytes
	SyncInterval time.Duration `json:"sync_interval"`
	SyncAlways   bool          `json:"sync_always"`
}

// interval is the time between two syncs; 0: every write is synced.
func (c storeConfig) interval() time.Duration {
	if c.SyncAlways {
		return 0
	}
	return c.SyncInterval
}

var errNoJetStream = errors.New("the server runs without JetStream")

// readServerFacts asks one server.
func readServerFacts(ctx context.Context, address string) (serverFacts, error) {
	var facts serverFacts
	body, _, err := getMonitor(ctx, address, "/varz")
	if err != nil {
		return facts, err
	}
	if err := json.Unmarshal(body, &facts); err != nil || facts.Version == "" {
		return facts, errors.New("what answers is no nats-server")
	}
	return facts, nil
}

// readServerHealth asks one server how it is; an error says how not.
func readServerHealth(ctx context.Context, address string) error {
	body, status, err := getMonitor(ctx, address, "/healthz")
	if err != nil && status == 0 {
		return err
	}
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Status == "" {
		return errors.New("what answers is no nats-server")
	}
	if answer.Status != "ok" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return nil
}

// getMonitor fetches a page of a monitoring endpoint. Its body is returned with the
// error of a status that is not 200, too.
func getMonitor(ctx context.Context, address, path string) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(address, "/")+path, nil)
	if err != nil {
		return nil, 0, errors.New("not an address")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // asked once in minutes
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, 0, errors.Unwrap(err) // without the address, which may hold credentials
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(response.Body, maxMonitorBytes)); err != nil {
		return nil, 0, err
	}
	if response.StatusCode != http.StatusOK {
		return body, response.StatusCode, fmt.Errorf("status %d", response.StatusCode)
	}
	return body, response.StatusCode, nil
}
