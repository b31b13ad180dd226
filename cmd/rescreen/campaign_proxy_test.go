package main

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxyMode is what a proxy does with connections and bytes.
type proxyMode int

const (
	flowing    proxyMode = iota // as it should
	refusing                    // connections are reset, old and new
	silent                      // connections are taken and kept, and no byte passes: half-open
	unanswered                  // bytes reach the server, none comes back
	dripping                    // 10 bytes a second come back
)

// proxy is a piece of network that can be made to fail.
type proxy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	mu      sync.Mutex
	mode    proxyMode
	changed chan struct{} // closed when the mode changes
	pairs   map[*pair]struct{}
}

// pair is a connection and its continuation.
type pair struct {
	client, server net.Conn
	cut            chan struct{}
	once           sync.Once
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, target: target, changed: make(chan struct{}), pairs: make(map[*pair]struct{})}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.set(refusing)
		p.all.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// set changes the mode, for the connections that there are as well.
func (p *proxy) set(mode proxyMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
	close(p.changed)
	p.changed = make(chan struct{})
	if mode == refusing {
		for c := range p.pairs {
			c.reset()
		}
	}
}

// during has the network fail in a way, and heal after a while.
func (p *proxy) during(d time.Duration, mode proxyMode) {
	p.set(mode)
	time.Sleep(d) // the length of the fault, not a wait for something
	p.set(flowing)
}

func (p *proxy) now() (proxyMode, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.changed
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		c := &pair{client: client, cut: make(chan struct{})}
		p.all.Go(func() { p.carry(c) })
	}
}

// carry connects to the server when the network lets it, and copies both ways.
func (p *proxy) carry(c *pair) {
	defer c.reset()
	p.mu.Lock()
	p.pairs[c] = struct{}{}
	refused := p.mode == refusing
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.pairs, c)
	}()
	if refused || !p.await(c, true) {
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	c.server = server
	defer func() { _ = server.Close() }()
	var both sync.WaitGroup
	both.Go(func() { p.pump(c, server, c.client, true) })
	both.Go(func() { p.pump(c, c.client, server, false) })
	both.Wait()
}

// pump copies one way until either side ends.
func (p *proxy) pump(c *pair, to, from net.Conn, towardsServer bool) {
	defer c.reset()
	defer func() { _ = to.Close() }() // the other way ends, too
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for at := 0; at < n; {
			if !p.await(c, towardsServer) {
				return
			}
			end := n
			if mode, _ := p.now(); mode == dripping && !towardsServer {
				end = min(n, at+1)
				time.Sleep(100 * time.Millisecond)
			}
			if _, err := to.Write(buffer[at:end]); err != nil {
				return
			}
			at = end
		}
		if err != nil {
			return
		}
	}
}

// await returns when bytes may pass in a direction; false: the pair was cut.
func (p *proxy) await(c *pair, towardsServer bool) bool {
	for {
		mode, changed := p.now()
		if mode != silent && (mode != unanswered || towardsServer) {
			return true
		}
		select {
		case <-changed:
		case <-c.cut:
			return false
		}
	}
}

// reset ends the client's connection as a broken network does.
func (c *pair) reset() {
	c.once.Do(func() {
		close(c.cut)
		if tcp, ok := c.client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.client.Close()
	})
}
