package amlsim

import (
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serve does what a call asks for, or what its fault makes of it, and answers.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request, ex *exchange) {
	var do Action
	if ex.fault != nil {
		do = ex.fault.Do
	}
	if do.Kind == ActRevoke {
		s.tokens.revokeAll()
	}
	if !pause(r.Context(), ex.latency) {
		s.breakOff(w, ex, true)
		return
	}
	var a answer
	applied := do.Applied || do.Kind == ActLoseAnswer
	if applied {
		a = s.work(ex)
	}
	if !pause(r.Context(), do.Wait) {
		s.breakOff(w, ex, true)
		return
	}
	switch do.Kind {
	case ActRefuse, ActReset, ActLoseAnswer:
		s.breakOff(w, ex, true)
		return
	case ActStatus, ActRedirect:
		a = s.madeUp(do)
	default:
		if !applied {
			a = s.work(ex)
		}
	}
	s.deliver(w, r, ex, do, a)
}

// pause waits unless the client goes away first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// madeUp is the answer that a fault gives in the API's place.
func (s *Simulator) madeUp(do Action) answer {
	if do.Kind == ActRedirect {
		a := errorAnswer(do.statusOr(http.StatusFound), "", "moved")
		location := do.Location
		if location == "" {
			location = "https://elsewhere.example.invalid/"
		}
		a.header.Set("Location", location)
		return a
	}
	a := errorAnswer(do.Status, "", "simulated")
	if do.Body != "" {
		a.body = []byte(do.Body)
		if strings.HasPrefix(do.Body, "<") {
			a.header.Set("Content-Type", "text/html; charset=utf-8")
		}
	}
	if do.RetryAfter > 0 {
		s.tellToWait(a, do.RetryAfter, do.RetryAfterDate)
	}
	return a
}

// deliver sends the answer, spoilt if the fault says so.
func (s *Simulator) deliver(w http.ResponseWriter, r *http.Request, ex *exchange, do Action, a answer) {
	switch do.Kind {
	case ActGarbage, ActHTML, ActDeep:
		a = s.replaceBody(do, a)
	case ActHuge, ActEndless, ActGzipBomb:
		prepareEndless(do, a)
		s.head(w, ex, a)
		sendEndless(w, do)
		return
	case ActTruncate:
		n := min(do.Bytes, int64(len(a.body)))
		s.cutShort(w, ex, a, int64(len(a.body)), a.body[:n])
		return
	case ActWrongLength:
		declared := wrongLength(do, a)
		if declared > int64(len(a.body)) {
			s.cutShort(w, ex, a, declared, a.body)
			return
		}
		a.body = a.body[:declared]
	}
	if s.cfg.Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && a.header.Get("Content-Type") == "application/json" {
		a.body = compress(a.body)
		a.header.Set("Content-Encoding", "gzip")
	}
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	s.head(w, ex, a)
	if do.Kind == ActSlow {
		sendSlowly(r.Context(), w, a.body, do.BytesPerSecond)
		return
	}
	_, _ = w.Write(a.body) // a client that has gone away is no error of ours
}

// head counts the answer and sends status and headers.
func (s *Simulator) head(w http.ResponseWriter, ex *exchange, a answer) {
	s.note(ex, a.status)
	s.sendHead(w, ex, a)
}

func (s *Simulator) sendHead(w http.ResponseWriter, ex *exchange, a answer) {
	header := w.Header()
	for name, values := range a.header {
		header[name] = values
	}
	header.Set("Date", s.cfg.Now().UTC().Format(http.TimeFormat))
	if id := ex.header.Get("X-Request-Id"); id != "" {
		header.Set("X-Request-Id", id)
	}
	w.WriteHeader(a.status)
}

// note counts the end of a call; status 0 is no whole answer.
func (s *Simulator) note(ex *exchange, status int) {
	if ex.call == callStats || ex.does(ActRefuse) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.answered(ex.call, status)
}

// breaker is a ResponseWriter whose connection can be broken without net/http.
type breaker interface {
	// breakOff ends the connection: hard as by a reset, else as by closing it.
	breakOff(hard bool)
}

// breakOff ends the connection of a call that gets no whole answer.
func (s *Simulator) breakOff(w http.ResponseWriter, ex *exchange, hard bool) {
	s.note(ex, 0)
	closeConnection(w, hard)
}

func closeConnection(w http.ResponseWriter, hard bool) {
	if b, ok := w.(breaker); ok {
		b.breakOff(hard)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// HTTP/2 cannot be hijacked; this is how net/http lets a handler break off.
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && hard {
		_ = tcp.SetLinger(0) // makes Close send a reset instead of a farewell
	}
	_ = conn.Close()
}

// cutShort promises more than it sends and closes the connection.
func (s *Simulator) cutShort(w http.ResponseWriter, ex *exchange, a answer, promised int64, body []byte) {
	a.header.Set("Content-Length", strconv.FormatInt(promised, 10))
	s.note(ex, 0)
	s.sendHead(w, ex, a)
	_, _ = w.Write(body)
	_ = http.NewResponseController(w).Flush()
	closeConnection(w, false)
}

// wrongLength returns the Content-Length that a fault declares.
func wrongLength(do Action, a answer) int64 {
	off := do.Bytes
	if off == 0 {
		off = 64
	}
	return max(0, int64(len(a.body))+off)
}

func compress(body []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	_, _ = z.Write(body) // a buffer takes everything
	_ = z.Close()
	return buf.Bytes()
}
