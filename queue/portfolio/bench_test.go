package portfolio

import (
	"errors"
	"io"
	"runtime"
	"testing"
)

// BenchmarkReader reads whole files and reports what one row costs and what
// stays in memory for each while the file is read. rows/s and heap-B/row are
// what the package comment quotes.
func BenchmarkReader(b *testing.B) {
	for _, c := range []struct {
		name string
		rows int
	}{{"10,000 rows", 10_000}, {"1,000,000 rows", 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var kept float64
			for b.Loop() {
				before := heap()
				r := readRows(b, c.rows)
				kept = float64(heap()-before) / float64(c.rows)
				runtime.KeepAlive(r)
			}
			b.ReportMetric(float64(b.N*c.rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(kept, "heap-B/row")
		})
	}
}

// A row more in the file costs its hash in the map and nothing else.
func TestMemoryIsFlatButForTheHashes(t *testing.T) {
	const rows, most = 50_000, 56 // bytes a row
	before := heap()
	r := readRows(t, rows)
	after := heap()
	runtime.KeepAlive(r)
	if kept := float64(after-before) / rows; kept > most {
		t.Errorf("%.1f bytes a row", kept)
	}
}

func readRows(t testing.TB, rows int) *Reader {
	t.Helper()
	r, err := Open(&portfolioText{rows: rows}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, io.EOF) || r.Counts().Jobs != rows {
		t.Fatalf("%v after %+v", err, r.Counts())
	}
	return r
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
