package amlsim

import (
	"context"
	"io"
	"net/http"
	"sync"
	"syscall"
)

// pipe carries one answer from the handler to the caller. What a socket would
// buffer it buffers too, so that a handler with a small answer ends by itself.
type pipe struct {
	ctx    context.Context
	header http.Header // the handler's, until the head is sent

	headed     chan struct{} // closed when the head is there
	status     int
	sentHeader http.Header

	chunks   chan []byte
	once     sync.Once
	failure  error         // why the answer ends; nil is its proper end; read after chunks is closed
	finished chan struct{} // closed when the handler has returned
}

// bufferedChunks is how many writes wait for a reader, much like the 64 KiB and
// more of a socket.
const bufferedChunks = 16

func newPipe(ctx context.Context) *pipe {
	return &pipe{
		ctx: ctx, header: http.Header{},
		headed: make(chan struct{}), chunks: make(chan []byte, bufferedChunks), finished: make(chan struct{}),
	}
}

// Header implements http.ResponseWriter.
func (p *pipe) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *pipe) WriteHeader(status int) {
	if p.status != 0 {
		return
	}
	p.status, p.sentHeader = status, p.header.Clone()
	close(p.headed)
}

// Write implements http.ResponseWriter.
func (p *pipe) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	if len(b) == 0 {
		return 0, nil
	}
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	select {
	case p.chunks <- append([]byte(nil), b...):
		return len(b), nil
	case <-p.ctx.Done():
		return 0, p.ctx.Err()
	}
}

// Flush implements http.Flusher; nothing is held back anyway.
func (p *pipe) Flush() {}

// breakOff implements breaker.
func (p *pipe) breakOff(hard bool) {
	if hard {
		p.end(networkError("read", "read", syscall.ECONNRESET))
		return
	}
	p.end(io.ErrUnexpectedEOF)
}

// end closes the answer; only the first call counts.
func (p *pipe) end(failure error) {
	p.once.Do(func() {
		p.failure = failure
		close(p.chunks)
	})
}

// pipeReader is the body of an answer.
type pipeReader struct {
	*pipe
	cancel   context.CancelCauseFunc
	promised int64 // bytes still to come by Content-Length; -1: unknown
	rest     []byte
	err      error // sticky
}

// Read implements io.Reader. It holds the answer to its Content-Length as
// net/http does: what is beyond is never seen, what is missing is an
// unexpected end.
func (r *pipeReader) Read(b []byte) (int, error) {
	switch {
	case r.err != nil:
	case len(r.rest) == 0:
		r.err = r.next()
	default:
		r.err = context.Cause(r.ctx)
	}
	if r.err != nil {
		r.cancel(http.ErrBodyReadAfterClose) // nothing will be read any more
		return 0, r.err
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	if r.promised >= 0 {
		r.promised -= int64(n)
	}
	return n, nil
}

// next waits for more of the body.
func (r *pipeReader) next() error {
	if r.promised == 0 {
		return io.EOF
	}
	if err := context.Cause(r.ctx); err != nil {
		return err
	}
	select {
	case chunk, more := <-r.chunks:
		if !more {
			return r.ending()
		}
		if r.promised >= 0 && int64(len(chunk)) > r.promised {
			chunk = chunk[:r.promised]
		}
		r.rest = chunk
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

func (r *pipeReader) ending() error {
	switch {
	case r.failure != nil:
		return r.failure
	case r.promised > 0:
		return io.ErrUnexpectedEOF
	default:
		return io.EOF
	}
}

// Close implements io.Closer: it ends the handler and waits for it.
func (r *pipeReader) Close() error {
	r.cancel(http.ErrBodyReadAfterClose)
	<-r.finished
	return nil
}
