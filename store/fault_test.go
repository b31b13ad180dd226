package store_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"rescreen/store"
)

// ackThief lets everything through to the server and, while armed, keeps
// the acknowledgements of publishes from coming back: what was written is stored and its
// writer does not learn it.
type ackThief struct {
	cut bool // breaks the connection instead of withholding the bytes

	mu    sync.Mutex
	armed int // acknowledgements to steal
	stole int
}

func (a *ackThief) arm(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = n
}

func (a *ackThief) steal(answer []byte) bool {
	if !bytes.Contains(answer, []byte(`"stream":"`)) || !bytes.Contains(answer, []byte(`"seq":`)) || bytes.Contains(answer, []byte(`"config"`)) {
		return false // not the acknowledgement of a publish
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.armed == 0 {
		return false
	}
	a.armed--
	a.stole++
	return true
}

type thiefConn struct {
	net.Conn
	thief *ackThief
}

func (c thiefConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.thief.steal(p[:n]) {
			return n, err
		}
		if c.thief.cut {
			_ = c.Close()
			return 0, errors.New("connection cut")
		}
	}
}

// TestUnacknowledgedWrites: over a real connection, every kind of write whose
// acknowledgement is lost is stored once, and its writer is told so.
func TestUnacknowledgedWrites(t *testing.T) {
	for name, cut := range map[string]bool{"acknowledgement lost": false, "connection cut": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			thief := &ackThief{cut: cut}
			wrap := func(c net.Conn) net.Conn { return thiefConn{c, thief} }
			js := connect(t, faultyConn{startServer(t), wrap})
			s := setup(t, js, 1)
			store.SetTryTimeout(s, 150*time.Millisecond)
			ctx := t.Context()
			k := store.Key{Batch: "b", Job: "j"}

			thief.arm(1)
			seq, err := s.Ledger.Commit(ctx, k, []byte("one"), 0, false)
			if err != nil || seq != 1 {
				t.Errorf("commit: sequence %d, error %v; want 1", seq, err)
			}
			thief.arm(2)
			seq, err = s.Ledger.Commit(ctx, k, []byte("two"), seq, true)
			if err != nil || seq != 2 {
				t.Errorf("commit again: sequence %d, error %v; want 2", seq, err)
			}
			thief.arm(1)
			if seq, err = s.Registers.Commit(ctx, "r", []byte("x"), 0); err != nil || seq != 1 {
				t.Errorf("register: sequence %d, error %v; want 1", seq, err)
			}
			thief.arm(2)
			if first, err := s.Outcomes.Publish(ctx, store.Outcome{Key: k, Attempt: 1, Value: []byte("{}")}); err != nil || !first {
				t.Errorf("publish: first %v, %v", first, err)
			}
			thief.arm(2)
			if err := s.Wakes.Park(ctx, store.Wake{Key: k, Attempt: 1, At: s.Clock.Now().Add(time.Hour)}); err != nil {
				t.Errorf("park: %v", err)
			}
			if open, err := s.Wakes.Open(ctx); err != nil || open != 1 {
				t.Errorf("open: %d, %v; want 1", open, err)
			}
			thief.arm(3)
			large := make([]byte, store.MaxMessageBytes+1)
			hash, err := s.Evidence.Put(ctx, large)
			if err != nil {
				t.Errorf("put: %v", err)
			}
			if got, err := s.Evidence.Get(ctx, hash); err != nil || !bytes.Equal(got, large) {
				t.Errorf("evidence: %d bytes, error %v", len(got), err)
			}
			if thief.stole < 8 {
				t.Errorf("only %d acknowledgements were lost", thief.stole)
			}
			wantMessages(t, js, store.RecordsStream, 1, 2)
			wantMessages(t, js, store.ResultsStream, 1, 1)
		})
	}
}
