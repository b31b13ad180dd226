package worker

import (
	"context"
	"sync"
)

// lobby counts the messages of this worker whose first call waits for its
// departure, so that it does not take many more than it gets departures for.
// One caller at a time enters.
type lobby struct {
	mu   sync.Mutex
	n    int
	left chan struct{} // something has left since somebody looked
}

func newLobby() *lobby { return &lobby{left: make(chan struct{}, 1)} }

// enter waits until there is room below the limit, which may change meanwhile,
// and takes up to n places.
func (b *lobby) enter(ctx context.Context, limit func() int, n int) (int, error) {
	for {
		b.mu.Lock()
		if room := limit() - b.n; room > 0 {
			n = min(n, room)
			b.n += n
			b.mu.Unlock()
			return n, nil
		}
		b.mu.Unlock()
		select {
		case <-b.left:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// leave gives n places back.
func (b *lobby) leave(n int) {
	b.mu.Lock()
	b.n -= n
	b.mu.Unlock()
	select {
	case b.left <- struct{}{}:
	default:
	}
}
