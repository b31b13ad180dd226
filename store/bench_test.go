package store_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"

	"rescreen/store"
)

// onBothServers runs a benchmark on a server that syncs every two minutes, the
// default, and on one that syncs every write.
func onBothServers(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	for name, adjust := range map[string]func(*server.Options){
		"sync=default": func(*server.Options) {},
		"sync=always":  func(o *server.Options) { o.SyncAlways = true },
	} {
		b.Run(name, func(b *testing.B) {
			bench(b, setup(b, connect(b, startServer(b, adjust)), 1))
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			onBothServers(b, func(b *testing.B, s *store.Store) {
				value := make([]byte, 1<<10)
				var n atomic.Int64
				each(b, writers, func() error {
					k := store.Key{Batch: "b", Job: fmt.Sprint(n.Add(1))}
					_, err := s.Ledger.Commit(b.Context(), k, value, 0, false)
					return err
				})
			})
		})
	}
}

func BenchmarkPark(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			onBothServers(b, func(b *testing.B, s *store.Store) {
				value := make([]byte, 256)
				hour := s.Clock.Now().Add(time.Hour)
				var n atomic.Int64
				each(b, writers, func() error {
					k := store.Key{Batch: "b", Job: fmt.Sprint(n.Add(1))}
					return s.Wakes.Park(b.Context(), store.Wake{Key: k, Attempt: 1, At: hour, Value: value})
				})
			})
		})
	}
}

// BenchmarkParked asks among 100,000 parked wake-ups.
func BenchmarkParked(b *testing.B) {
	s := setup(b, connect(b, startServer(b)), 1)
	const parked = 100_000
	hour := s.Clock.Now().Add(time.Hour)
	var n atomic.Int64
	var group errgroup.Group
	for range 64 {
		group.Go(func() error {
			for i := n.Add(1); i <= parked; i = n.Add(1) {
				k := store.Key{Batch: "b", Job: fmt.Sprint(i)}
				if err := s.Wakes.Park(b.Context(), store.Wake{Key: k, Attempt: 1, At: hour}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.Run("there", func(b *testing.B) {
		each(b, 1, func() error {
			_, err := s.Wakes.Parked(b.Context(), store.Key{Batch: "b", Job: fmt.Sprint(1 + rand.N(parked))}, 1)
			return err
		})
	})
	b.Run("absent", func(b *testing.B) {
		each(b, 1, func() error {
			_, err := s.Wakes.Parked(b.Context(), store.Key{Batch: "b", Job: "x"}, 1)
			return err
		})
	})
	b.Run("open", func(b *testing.B) {
		each(b, 1, func() error {
			_, err := s.Wakes.Open(b.Context())
			return err
		})
	})
}

func BenchmarkPublish(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			onBothServers(b, func(b *testing.B, s *store.Store) {
				value := make([]byte, 8<<10)
				var n atomic.Int64
				each(b, writers, func() error {
					k := store.Key{Batch: "b", Job: fmt.Sprint(n.Add(1))}
					_, err := s.Outcomes.Publish(b.Context(), store.Outcome{Key: k, Attempt: 1, Value: value})
					return err
				})
			})
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			onBothServers(b, func(b *testing.B, s *store.Store) {
				data := make([]byte, size)
				b.SetBytes(int64(size))
				n := 0
				each(b, 1, func() error {
					n++
					copy(data, fmt.Sprint(n))
					_, err := s.Evidence.Put(b.Context(), data)
					return err
				})
			})
		})
	}
}

// each runs b.N calls, shared by a number of goroutines.
func each(b *testing.B, goroutines int, call func() error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var n atomic.Int64
	var group errgroup.Group
	for range goroutines {
		group.Go(func() error {
			for n.Add(1) <= int64(b.N) {
				if err := call(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
