package amlsim

import (
	"net/http"
	"strings"
)

// Call is one of the calls a client can make.
type Call string

// The calls. CallAny stands for all of them in a fault; "other" counts what is
// none of them.
const (
	CallDiscovery    Call = "discovery"
	CallToken        Call = "token"
	CallCreate       Call = "create"
	CallSession      Call = "session"
	CallDocument     Call = "document"
	CallReport       Call = "report"
	CallAccessRights Call = "access-rights"
	CallAny          Call = "any"

	callOther Call = "other"
	callStats Call = "stats"
)

// ofAML tells whether the call goes to the AML API proper, the part that has
// rate limits and wants a token.
func (c Call) ofAML() bool {
	switch c {
	case CallCreate, CallSession, CallDocument, CallReport, CallAccessRights:
		return true
	}
	return false
}

// target is what a method and a path address.
type target struct {
	call    Call
	method  string // the one that is allowed
	country string
	id      string
}

// route finds what a path addresses; call is callOther if nothing.
func (s *Simulator) route(path string) target {
	switch path {
	case "/stats":
		return target{call: callStats, method: http.MethodGet}
	case RealmPath + "/.well-known/openid-configuration":
		return target{call: CallDiscovery, method: http.MethodGet}
	case tokenPath:
		return target{call: CallToken, method: http.MethodPost}
	}
	rest, ok := strings.CutPrefix(path, s.cfg.BasePath+"/")
	if !ok {
		return target{call: callOther}
	}
	if rest == "access-rights" {
		return target{call: CallAccessRights, method: http.MethodGet}
	}
	rest, ok = strings.CutPrefix(rest, "person/session/")
	if !ok {
		return target{call: callOther}
	}
	country, rest, deeper := strings.Cut(rest, "/")
	if country == "" {
		return target{call: callOther}
	}
	if !deeper {
		return target{call: CallCreate, method: http.MethodPost, country: country}
	}
	id, tail, _ := strings.Cut(rest, "/")
	t := target{method: http.MethodGet, country: country, id: id}
	switch tail {
	case "":
		t.call = CallSession
	case "json":
		t.call = CallDocument
	case "report/aml":
		t.call = CallReport
	default:
		t.call = callOther
	}
	return t
}
