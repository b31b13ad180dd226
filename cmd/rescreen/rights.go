package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// userInfoSubject is where a server tells a user about himself.
const userInfoSubject = "$SYS.REQ.USER.INFO"

// rightsPatience is how long a server may take to answer that.
const rightsPatience = 2 * time.Second

// rights are the subjects that the server lets us publish to. Everything, as
// long as nothing else is known.
type rights struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny,omitempty"`
}

// askRights asks the server which they are. What is not allowed gets no answer,
// so it is good to know beforehand where there is another way. A server that does
// not say is taken to allow everything, and so is one that does not let us ask:
// permissions that were written for earlier versions.
func askRights(ctx context.Context, nc *nats.Conn) rights {
	ctx, cancel := context.WithTimeout(ctx, rightsPatience)
	defer cancel()
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return rights{}
	}
	defer func() { _ = answers.Unsubscribe() }()
	// What is not allowed is said before the answer to a ping.
	if nc.PublishRequest(userInfoSubject, inbox, nil) != nil || nc.FlushWithContext(ctx) != nil || isUserInfoDenied(nc.LastError()) {
		return rights{}
	}
	m, err := answers.NextMsgWithContext(ctx)
	if err != nil {
		return rights{}
	}
	var answer struct {
		Data struct {
			Permissions struct {
				Publish rights `json:"publish"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return rights{}
	}
	return answer.Data.Permissions.Publish
}

// isUserInfoDenied reports whether the server does not let us ask for our rights. The
// protocol tells by the text alone what was denied.
func isUserInfoDenied(err error) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+userInfoSubject+`"`)
}

// publish reports whether a message may be published.
func (r rights) publish(subject string) bool {
	return (len(r.Allow) == 0 || matchesAny(subject, r.Allow)) && !matchesAny(subject, r.Deny)
}

func matchesAny(subject string, patterns []string) bool {
	for _, p := range patterns {
		if server.SubjectMatchesFilter(subject, p) {
			return true
		}
	}
	return false
}
