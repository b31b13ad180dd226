package natsembed

import (
	"errors"
	"fmt"
	"sync"

	"go.uber.org/zap"
)

// natsLog passes the server's log on to zap. The server logs names of streams
// and subjects, which hold no personal data; payloads it shows in traces only,
// which are off.
type natsLog struct {
	log *zap.Logger

	mu   sync.Mutex
	last error // the first fatal message
}

// fatal returns what kept the server from starting.
func (l *natsLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Noticef implements server.Logger. The server notices a lot at its start.
func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug(line(format, v)) }

// Warnf implements server.Logger.
func (l *natsLog) Warnf(format string, v ...any) { l.log.Warn(line(format, v)) }

// Errorf implements server.Logger.
func (l *natsLog) Errorf(format string, v ...any) { l.log.Error(line(format, v)) }

// Fatalf implements server.Logger. A server on its own would exit here.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = errors.New(line(format, v))
	}
}

// Debugf implements server.Logger.
func (l *natsLog) Debugf(string, ...any) {}

// Tracef implements server.Logger.
func (l *natsLog) Tracef(string, ...any) {}

func line(format string, v []any) string { return "nats: " + fmt.Sprintf(format, v...) }
