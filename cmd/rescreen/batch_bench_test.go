package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"rescreen/queue"
	"rescreen/queue/portfolio"
)

// BenchmarkSubmit submits whole portfolios, server included.
func BenchmarkSubmit(b *testing.B) {
	const rows = 100_000
	w := newBatchWorld(b)
	text := people(rows)
	b.SetBytes(int64(len(text)))
	n := 0
	for b.Loop() {
		s, err := w.submitPortfolio(b.Context(), strings.NewReader(text), submitOptions{Batch: queue.BatchID(fmt.Sprintf("bench%d", n))})
		if err != nil || s.Accepted != rows {
			b.Fatal(s.Accepted, err)
		}
		n++
	}
	b.ReportMetric(float64(n*rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkExport exports a batch with one piece of evidence of 4 KB for each
// of its results. The first export writes it, the others find it there.
func BenchmarkExport(b *testing.B) {
	const outcomes = 20_000
	w := newBatchWorld(b)
	w.publishMany(b, outcomes)
	for name, dir := range map[string]func() string{
		"first": func() string { return b.TempDir() },
		"again": sync.OnceValue(func() string { return b.TempDir() }),
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				s, err := w.exportBatch(b.Context(), w.store.Evidence, "march", dir(), exportOptions{})
				if err != nil || s.results() != outcomes || s.Evidence.Files != outcomes {
					b.Fatal(s, err)
				}
				n++
			}
			b.ReportMetric(float64(n*outcomes)/b.Elapsed().Seconds(), "outcomes/s")
		})
	}
}

// BenchmarkStatus counts a batch with 100,000 outcomes.
func BenchmarkStatus(b *testing.B) {
	const outcomes = 100_000
	w := newBatchWorld(b)
	for i := range outcomes {
		subject := fmt.Sprintf("screening.result.march.%s.1", portfolio.JobID(fmt.Sprint(i)))
		if _, err := w.js.PublishAsync(subject, nil); err != nil {
			b.Fatal(err)
		}
	}
	<-w.js.PublishAsyncComplete()
	t := newTallier(w.js, "march")
	defer t.close(b.Context())
	b.Run("once", func(b *testing.B) {
		for b.Loop() {
			if s, err := w.status(b.Context(), "march"); err != nil || s.Results != outcomes {
				b.Fatal(s, err)
			}
		}
	})
	b.Run("watched", func(b *testing.B) {
		for b.Loop() {
			if s, err := w.statusBy(b.Context(), "march", t); err != nil || s.Results != outcomes {
				b.Fatal(s, err)
			}
		}
	})
}

// publishMany publishes results, several at a time.
func (w *batchWorld) publishMany(b *testing.B, n int) {
	b.Helper()
	var group sync.WaitGroup
	for part := range 8 {
		group.Go(func() {
			for i := part; i < n; i += 8 {
				document := fmt.Sprintf(`{"person": %d, "filler": %q}`, i, strings.Repeat("x", 4000))
				if err := w.publishResult(b.Context(), "march", fmt.Sprintf("C-%06d", i), []byte(document), nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}
