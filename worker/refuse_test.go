package worker

import (
	"bytes"
	"context"
	"fmt"

	"rescreen/store"
	"rescreen/store/storetest"
)

// refusing makes the store refuse every write of one kind about one job, as a
// server does that will never take this message.
type refusing struct{ op, key string }

func (r refusing) wrap(d Deps) Deps {
	d.Wakes = refusingWakes{d.Wakes, r}
	d.Evidence = refusingEvidence{d.Evidence, r}
	return d
}

type refusingWakes struct {
	Wakes
	refusing
}

func (w refusingWakes) Park(ctx context.Context, wake store.Wake) error {
	if w.op == storetest.OpWakesPark && wake.Key.String() == w.key {
		return fmt.Errorf("park: %w", store.ErrRefused)
	}
	return w.Wakes.Park(ctx, wake)
}

// refusingEvidence refuses the first document it is given, for ever.
type refusingEvidence struct {
	Evidence
	refusing
}

func (e refusingEvidence) Put(ctx context.Context, data []byte) (string, error) {
	if e.op == storetest.OpEvidencePut && bytes.Contains(data, []byte("Testbruker1")) {
		return "", fmt.Errorf("put: %w", store.ErrRefused)
	}
	return e.Evidence.Put(ctx, data)
}

// smallOutcomes takes events of 2 KiB at most.
type smallOutcomes struct{ Outcomes }

func (o smallOutcomes) Publish(ctx context.Context, out store.Outcome) (bool, error) {
	if len(out.Value) > 2<<10 {
		return false, fmt.Errorf("publish: %w", store.ErrRefused)
	}
	return o.Outcomes.Publish(ctx, out)
}

// outage is a store out of reach.
func outage(string, string) storetest.Fault { return storetest.Fault{Kind: storetest.Lost} }
