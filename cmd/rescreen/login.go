package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// loginEvery is the pause between two tries to get the first token. The client keeps
// to longer ones where the token endpoint wants to be left alone.
const loginEvery = 5 * time.Second

// login is whether this worker has ever got a token. One that has not is of no use,
// whatever it was told: so a rollout with the wrong secret, or without a way to the
// API, ends at its first worker. Later trouble with tokens is the health's.
type login struct {
	mu   sync.Mutex
	done bool
	last error
}

var errNoTry = errors.New("not tried yet")

// heard takes in the end of a try to get a token.
func (l *login) heard(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done, l.last = l.done || err == nil, err
}

// missing is why there has been no token yet; nil if there was one.
func (l *login) missing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.done:
		return nil
	case l.last == nil:
		return errNoTry
	}
	return l.last
}

// logIn gets the first token before there is a call that needs it.
func (st *station) logIn(ctx context.Context) {
	for st.login.missing() != nil {
		before := st.login.missing()
		_, err := st.client.LogIn(ctx)
		st.login.heard(err)
		if err != nil && errors.Is(before, errNoTry) && ctx.Err() == nil {
			st.log.Warn("no token yet, this worker is not ready", zap.Error(err), zap.String("do", st.link.diagnose(err).Do))
		}
		if err == nil || sleep(ctx, loginEvery) != nil {
			return
		}
	}
}

// noToken says why a worker that never got a token is not ready; "" if it got one.
func (st *station) noToken() string {
	err := st.login.missing()
	if err == nil {
		return ""
	}
	reason := fmt.Sprintf("token: none yet: %v", err)
	if do := st.link.diagnose(err).Do; do != "" {
		reason += ": " + do
	}
	return reason
}
