package amlsim_test

import (
	"net/http"
	"testing"

	"rescreen/apiclient/amlsim"
)

// The costs of the calls, through the in-process transport. A report is to cost
// less than a millisecond.
func BenchmarkCall(b *testing.B) {
	for _, bb := range []struct{ name, tail string }{{"session", ""}, {"document", "/json"}, {"report", "/report/aml"}} {
		b.Run(bb.name, func(b *testing.B) {
			c := newCaller(b, amlsim.New(amlsim.Config{}))
			p := testPerson("Tomas", "Topstad", "01010750160")
			p.Expands = append(p.Expands, "links.reports.aml")
			path := c.session(p) + bb.tail
			b.ReportAllocs()
			for b.Loop() {
				wantStatus(b, c.get(path), http.StatusOK)
			}
		})
	}
	b.Run("create", func(b *testing.B) {
		c := newCaller(b, amlsim.New(amlsim.Config{}))
		b.ReportAllocs()
		for b.Loop() {
			wantStatus(b, c.create(nobody()), http.StatusCreated)
		}
	})
}
