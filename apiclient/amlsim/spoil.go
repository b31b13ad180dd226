package amlsim

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sizes of spoilt bodies for which the script gives none.
const (
	defaultNoise = 1 << 10
	defaultHuge  = 64 << 20
	defaultBomb  = 1 << 30
	defaultDepth = 100_000

	noisePeriod = 64 << 10 // noise repeats itself: drawing it costs more than sending it
)

func orDefault(n, fallback int64) int64 {
	if n == 0 {
		return fallback
	}
	return n
}

// replaceBody puts something else in the place of the body.
func (s *Simulator) replaceBody(do Action, a answer) answer {
	switch do.Kind {
	case ActGarbage:
		noise := stream(s.cfg.Seed, drawGarbage)
		a.body = make([]byte, orDefault(do.Bytes, defaultNoise))
		for i := range min(len(a.body), noisePeriod) {
			a.body[i] = byte(noise.Uint32())
		}
		for i := noisePeriod; i < len(a.body); i += noisePeriod {
			copy(a.body[i:], a.body[:noisePeriod])
		}
	case ActHTML:
		a.header.Set("Content-Type", "text/html; charset=utf-8")
		a.body = []byte("<!DOCTYPE html>\n<html><head><title>Service Unavailable</title></head>\n<body><h1>Service Unavailable</h1>\n<p>The gateway could not reach the service.</p></body></html>\n")
	case ActDeep:
		depth := int(orDefault(int64(do.Depth), defaultDepth))
		a.body = []byte(`{"x":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}")
	}
	return a
}

// sendEndless sends a body too large to be taken, without ever holding it.
func sendEndless(w http.ResponseWriter, do Action) {
	const prefix, suffix = `{"x":"`, `"}`
	pack, piece := func(b []byte) []byte { return b }, 1<<16
	total := orDefault(do.Bytes, defaultHuge)
	if do.Kind == ActGzipBomb {
		// Members of a gzip stream simply follow each other: one megabyte is
		// compressed once and sent as often as needed.
		pack, piece = compress, 1<<20
		total = orDefault(do.Bytes, defaultBomb)
	}
	if do.Kind == ActEndless {
		total = math.MaxInt64 // until the client goes away
	}
	filler := pack(bytes.Repeat([]byte("a"), piece))
	if _, err := w.Write(pack([]byte(prefix))); err != nil {
		return
	}
	left := max(0, total-int64(len(prefix)+len(suffix)))
	for ; left >= int64(piece); left -= int64(piece) {
		if _, err := w.Write(filler); err != nil {
			return // the client has seen enough
		}
	}
	_, _ = w.Write(pack([]byte(strings.Repeat("a", int(left)) + suffix)))
}

// prepareEndless sets the headers that go with sendEndless.
func prepareEndless(do Action, a answer) {
	switch do.Kind {
	case ActEndless: // no length
		return
	case ActGzipBomb:
		a.header.Set("Content-Encoding", "gzip")
		return
	}
	a.header.Set("Content-Length", strconv.FormatInt(max(8, orDefault(do.Bytes, defaultHuge)), 10))
}

// slices per second of a slow body.
const slowSlices = 10

// sendSlowly sends the body at a number of bytes per second.
func sendSlowly(ctx context.Context, w http.ResponseWriter, body []byte, perSecond int) {
	piece, gap := max(1, perSecond/slowSlices), time.Second/slowSlices
	if perSecond < slowSlices {
		gap = time.Second / time.Duration(perSecond)
	}
	flusher := http.NewResponseController(w)
	for len(body) > 0 {
		n := min(piece, len(body))
		if _, err := w.Write(body[:n]); err != nil {
			return
		}
		_ = flusher.Flush()
		body = body[n:]
		if len(body) > 0 && !pause(ctx, gap) {
			return
		}
	}
}
