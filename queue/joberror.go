package queue

import "fmt"

// JobError says why a job cannot be screened. It names the member and the
// rule, never the value, so that it may be logged, published and shown.
type JobError struct {
	// Member is the name of the member on the wire; empty when the trouble is
	// with the message as a whole or with a member nobody knows.
	Member string
	// Problem is a short phrase, such as "is missing".
	Problem string
}

// Error implements error.
func (e *JobError) Error() string {
	if e.Member == "" {
		return "job: " + e.Problem
	}
	return fmt.Sprintf("job: %s %s", e.Member, e.Problem)
}
