package apiclient

import "time"

// CallName says which of the requests it was, in a word for logs and metrics.
type CallName string

// The requests that a client makes.
const (
	CallCreate       CallName = "create"
	CallPoll         CallName = "poll"
	CallDocument     CallName = "document"
	CallReport       CallName = "report"
	CallToken        CallName = "token"
	CallDiscovery    CallName = "discovery"
	CallAccessRights CallName = "access_rights"
)

// CallNames returns the closed set.
func CallNames() []CallName {
	return []CallName{CallCreate, CallPoll, CallDocument, CallReport, CallToken, CallDiscovery, CallAccessRights}
}

// Call is the end of one HTTP request, as Config.OnCall is told of it. It holds
// nothing of what was asked or answered.
type Call struct {
	Name CallName
	// Status is what the answer began with, also if the rest of it was lost;
	// 0: no answer began.
	Status int
	// Took is the time from sending the request to the end of its answer. What
	// came before is not part of it: the waits for Admit, token and addresses.
	Took time.Duration
}
