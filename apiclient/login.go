package apiclient

import (
	"context"
	"slices"
	"time"
)

// Login is what finding the API and getting a token have told, for somebody who
// looks whether all is well.
type Login struct {
	Base, TokenURL string // "" if they were not found
	// BaseFrom says where the base URL comes from.
	BaseFrom BaseSource

	Asked []string
	// Granted are the scopes the token has; nil: the answer did not say, and then
	// all that were asked for are (RFC 6749, section 5.1).
	Granted []string
	Life    time.Duration // of the token; 0: the answer did not say
}

// Missing returns the scopes that were asked for and not granted.
func (l Login) Missing() []string {
	if l.Granted == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(l.Asked), func(s string) bool { return slices.Contains(l.Granted, s) })
}

// BaseSource is where the base URL of the API comes from.
type BaseSource string

// The sources, the strongest first.
const (
	BaseFromSetting   BaseSource = "setting"
	BaseFromDiscovery BaseSource = "discovery"
	BaseFromProfile   BaseSource = "profile"
)

// LogIn finds the addresses and gets a token, and makes no call of the API itself.
// What was found before an error is returned with it.
//
// Errors: Throttled, Denied, Misconfigured, Unavailable.
func (c *Client) LogIn(ctx context.Context) (Login, error) {
	const op = "log in"
	l := Login{Asked: slices.Clone(c.tokens.config.Scopes)}
	ctx, cancel := context.WithTimeoutCause(ctx, c.getTimeout, errTimeout)
	defer cancel()
	e, err := c.where.endpoints(ctx)
	if err != nil {
		return l, err.atLogin().named(op)
	}
	l.Base, l.TokenURL, l.BaseFrom = e.base.String(), e.token.String(), e.baseFrom
	t, err := c.tokens.get(ctx, l.TokenURL)
	if err != nil {
		return l, err.atLogin().named(op)
	}
	l.Granted, l.Life = t.granted, t.life
	return l, nil
}
