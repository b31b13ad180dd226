package apiclient

import (
	"context"
	"testing"
)

func TestTheFiveCalls(t *testing.T) {
	fake := newFake()
	fake.report = pdfAnswer(newSigner(t).signed(t, "adbe.pkcs7.detached"))
	c := fake.client(t)
	ctx := context.Background()

	id, err := c.CreateSession(ctx, nil, testQuery())
	if err != nil || id != fakeID {
		t.Fatalf("create: %q, %v", id, err)
	}
	s, err := c.Session(ctx, nil, Ref{ID: id})
	if err != nil || s.Document.State() != EntityReady || s.Report.State() != EntityReady {
		t.Fatalf("session: %+v, %v", s, err)
	}
	doc, err := c.Document(ctx, nil, Ref{ID: id}, s.Document.Link)
	if err != nil || string(doc) != `{"aml":{"status":"NONE"}}` {
		t.Fatalf("document: %s, %v", doc, err)
	}
	r, err := c.Report(ctx, nil, Ref{ID: id}, s.Report.Link)
	if err != nil || r.Signature != SignatureValid {
		t.Fatalf("report: %s (%s), %v", r.Signature, r.Detail, err)
	}
	raw, granted, err := c.AccessRights(ctx)
	if err != nil || granted == nil || !*granted || len(raw) == 0 {
		t.Fatalf("access rights: %s, %v", raw, err)
	}
	if got := fake.counts(); got["discovery"] != 1 || got["token"] != 1 {
		t.Errorf("addresses and token were fetched again: %v", got)
	}
}

func TestEachCallSaysWhoAsksForWhat(t *testing.T) {
	fake := newFake()
	c := fake.client(t, func(cfg *Config) { cfg.UserAgent = "rescreen/test" })
	ctx := context.Background()
	_, _ = c.CreateSession(ctx, nil, testQuery())
	_, _ = c.Session(ctx, nil, testRef)
	_, _ = c.Document(ctx, nil, testRef, "")
	_, _ = c.Report(ctx, nil, testRef, "")
	_, _, _ = c.AccessRights(ctx)

	ids := map[string]bool{}
	for _, name := range []string{"discovery", "token", "create", "session", "document", "report", "access"} {
		r := fake.seen[name]
		if r == nil {
			t.Fatalf("%s was not called", name)
		}
		want := "application/json"
		if name == "report" {
			want = "application/pdf"
		}
		if got := r.Header.Get("Accept"); got != want {
			t.Errorf("%s: Accept %q", name, got)
		}
		if got := r.Header.Get("User-Agent"); got != "rescreen/test" {
			t.Errorf("%s: User-Agent %q", name, got)
		}
		id := r.Header.Get("X-Request-Id")
		if len(id) < 20 || ids[id] {
			t.Errorf("%s: X-Request-Id %q is short or not new", name, id)
		}
		ids[id] = true
		bearer := name != "discovery" && name != "token"
		if got := r.Header.Get("Authorization"); (got == "Bearer t1") != bearer {
			t.Errorf("%s: Authorization %q", name, got)
		}
	}
}
