package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Count asks the leader of a stream how many subjects match, and for the server's
// time. Unlike a consumer, whose pending messages are the same number, it can be
// allowed to somebody who must not read the messages. It costs the server 40 ms
// for 90,000 subjects and nearly a second for 900,000 (measured).
func Count(ctx context.Context, js jetstream.JetStream, stream, subject string) (n uint64, at time.Time, err error) {
	// Beyond the end of the list there is nothing but its length.
	body, err := json.Marshal(map[string]any{"subjects_filter": subject, "offset": math.MaxInt32})
	if err != nil {
		return 0, time.Time{}, err
	}
	m, err := js.Conn().RequestWithContext(ctx, apiPrefix(js)+"STREAM.INFO."+stream, body)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count %s: %w", subject, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Total uint64              `json:"total"`
		Time  time.Time           `json:"ts"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return 0, time.Time{}, fmt.Errorf("count %s: %w", subject, err)
	}
	if answer.Error != nil {
		return 0, time.Time{}, fmt.Errorf("count %s: %w", subject, answer.Error)
	}
	return answer.Total, answer.Time.UTC(), nil
}
