package worker

import (
	"encoding/json"
	"time"

	"go.uber.org/zap"
)

// An announcement tells the other workers that the record has changed, or is
// about to. It is a hint: what counts is the record.
type announcement struct {
	Gate   *Gate `json:"gate,omitempty"`
	Reopen bool  `json:"reopen,omitempty"` // a person has opened what was closed
}

// Announcement returns what tells all workers that a person has changed the
// limits.
func (c Change) Announcement() []byte {
	b, _ := json.Marshal(announcement{Reopen: c.Reset}) // a bool always encodes
	return b
}

// announce tells the others of a closing.
func (l *limiter) announce(g Gate) {
	b, err := json.Marshal(announcement{Gate: &g})
	if err == nil {
		err = l.signals.Announce(l.register, b)
	}
	if err != nil {
		l.log.Debug("closing not announced, the record will tell", zap.Error(err))
	}
}

// maxAnnounced bounds a closing that is only announced, like the longest that
// an answer can ask for.
const maxAnnounced = 15 * time.Minute

// announced takes in what another worker or a person announces.
func (l *limiter) announced(data []byte) {
	var a announcement
	if json.Unmarshal(data, &a) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reload = true
	if a.Reopen {
		l.shut = Gate{}
	}
	if a.Gate != nil {
		now := l.clock.Now()
		if latest := now.Add(maxAnnounced); a.Gate.Until.After(latest) {
			a.Gate.Until = latest
		}
		a.Gate.At = now
		l.shutUntil(*a.Gate)
	}
	l.look()
}
