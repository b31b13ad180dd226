package amlsim

import (
	"compress/gzip"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Transport returns a RoundTripper that answers every request, to whatever
// host, in this process and without sockets. It works inside a testing/synctest
// bubble in which the simulator was made.
//
// To its user it is like net/http's: it fires the hooks of net/http/httptrace,
// returns when the context ends, streams bodies, unpacks gzip that the caller
// has not asked for itself, and breaks with the errors of a network. A call that
// takes time has a goroutine, which ends when the answer is written, the body
// is closed or the context ends.
func (s *Simulator) Transport() http.RoundTripper { return &inProcess{sim: s} }

type inProcess struct{ sim *Simulator }

// RoundTrip implements http.RoundTripper.
func (t *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := takeBody(req)
	if err != nil {
		return nil, err
	}
	if err := context.Cause(req.Context()); err != nil {
		return nil, err
	}
	trace := hooks{httptrace.ContextClientTrace(req.Context())}
	trace.getConn(req)
	unpack := req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == "" && req.Method != http.MethodHead
	ctx, cancel := context.WithCancelCause(req.Context())
	served := req.Clone(ctx)
	served.Body = http.NoBody
	if unpack {
		served.Header.Set("Accept-Encoding", "gzip")
	}
	ex := t.sim.arrive(served, body)
	if do := ex.action(ActRefuse); do != nil {
		defer cancel(nil)
		if !pause(ctx, do.Wait) {
			return nil, context.Cause(ctx)
		}
		err := networkError("dial", "connect", syscall.ECONNREFUSED)
		trace.refused(req, err)
		return nil, err
	}
	trace.sent(req)
	p := newPipe(ctx)
	serve := func() {
		defer close(p.finished)
		t.sim.serve(p, served, ex)
		p.end(nil)
	}
	if ex.instant() {
		serve()
	} else {
		go serve()
	}
	if err := p.awaitHead(); err != nil {
		cancel(err)
		<-p.finished
		return nil, err
	}
	trace.answered()
	return p.response(req, unpack, cancel), nil
}

// instant tells that the answer takes no time and fits what the pipe buffers,
// as almost all do; a goroutine for it would only cost.
func (ex *exchange) instant() bool { return ex.fault == nil && ex.latency == 0 }

// awaitHead waits until the answer begins, or returns why it will not.
func (p *pipe) awaitHead() error {
	select {
	case <-p.headed:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	case <-p.finished:
	}
	select {
	case <-p.headed: // both had happened
		return nil
	default:
	}
	if err := context.Cause(p.ctx); err != nil {
		return err
	}
	return p.failure
}

// takeBody reads and closes the body of a request, as a RoundTripper must.
func takeBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	body, err := readBody(req.Body)
	return body, errors.Join(err, req.Body.Close())
}

// networkError makes the error that net would return.
func networkError(op, call string, errno syscall.Errno) error {
	return &net.OpError{
		Op: op, Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8117},
		Err: os.NewSyscallError(call, errno),
	}
}

// hooks fires the events of httptrace in the order net/http does.
type hooks struct{ *httptrace.ClientTrace }

func (h hooks) getConn(req *http.Request) {
	if h.ClientTrace != nil && h.GetConn != nil {
		h.GetConn(req.URL.Host)
	}
}

func (h hooks) refused(req *http.Request, err error) {
	if h.ClientTrace == nil {
		return
	}
	if h.ConnectStart != nil {
		h.ConnectStart("tcp", req.URL.Host)
	}
	if h.ConnectDone != nil {
		h.ConnectDone("tcp", req.URL.Host, err)
	}
}

func (h hooks) sent(_ *http.Request) {
	if h.ClientTrace == nil {
		return
	}
	if h.GotConn != nil {
		h.GotConn(httptrace.GotConnInfo{})
	}
	if h.WroteHeaders != nil {
		h.WroteHeaders()
	}
	if h.WroteRequest != nil {
		h.WroteRequest(httptrace.WroteRequestInfo{})
	}
}

func (h hooks) answered() {
	if h.ClientTrace != nil && h.GotFirstResponseByte != nil {
		h.GotFirstResponseByte()
	}
}

// response makes the answer of a call whose head has come.
func (p *pipe) response(req *http.Request, unpack bool, cancel context.CancelCauseFunc) *http.Response {
	resp := &http.Response{
		Status:     strconv.Itoa(p.status) + " " + http.StatusText(p.status),
		StatusCode: p.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        p.sentHeader,
		ContentLength: -1,
		Request:       req,
	}
	if n, err := strconv.ParseInt(p.sentHeader.Get("Content-Length"), 10, 64); err == nil {
		resp.ContentLength = n
	}
	plain := &pipeReader{pipe: p, cancel: cancel, promised: resp.ContentLength}
	resp.Body = plain
	if unpack && strings.EqualFold(p.sentHeader.Get("Content-Encoding"), "gzip") {
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
		resp.Body = &unpacked{plain: plain}
	}
	return resp
}

// unpacked inflates a body, from the first read on.
type unpacked struct {
	plain *pipeReader
	zip   *gzip.Reader
	err   error
}

func (u *unpacked) Read(b []byte) (int, error) {
	if u.zip == nil && u.err == nil {
		u.zip, u.err = gzip.NewReader(u.plain)
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.zip.Read(b)
}

func (u *unpacked) Close() error { return u.plain.Close() }
