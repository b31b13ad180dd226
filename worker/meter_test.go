package worker

import (
	"context"
	"sync/atomic"

	"rescreen/apiclient"
)

// meter holds permits against calls: each call takes one, and none is lost.
type meter struct{ taken, calls atomic.Int64 }

func (m *meter) wrap(d Deps) Deps {
	d.Permits = meteredPermits{d.Permits, m}
	d.Sessions = meteredSessions{d.Sessions, m}
	d.Entities = meteredEntities{d.Entities, m}
	return d
}

type meteredPermits struct {
	Permits
	*meter
}

func (p meteredPermits) Take(ctx context.Context, c Class, limit int) (int, error) {
	n, err := p.Permits.Take(ctx, c, limit)
	p.taken.Add(int64(n))
	return n, err
}

func (p meteredPermits) Return(c Class, n int) {
	p.taken.Add(int64(-n))
	p.Permits.Return(c, n)
}

type meteredSessions struct {
	Sessions
	*meter
}

func (s meteredSessions) CreateSession(ctx context.Context, q apiclient.Query) (apiclient.SessionID, error) {
	s.calls.Add(1)
	return s.Sessions.CreateSession(ctx, q)
}

func (s meteredSessions) Session(ctx context.Context, ref apiclient.Ref) (apiclient.Session, error) {
	s.calls.Add(1)
	return s.Sessions.Session(ctx, ref)
}

type meteredEntities struct {
	Entities
	*meter
}

func (e meteredEntities) Document(ctx context.Context, ref apiclient.Ref, link string) ([]byte, error) {
	e.calls.Add(1)
	return e.Entities.Document(ctx, ref, link)
}

func (e meteredEntities) Report(ctx context.Context, ref apiclient.Ref, link string) (apiclient.Report, error) {
	e.calls.Add(1)
	return e.Entities.Report(ctx, ref, link)
}
