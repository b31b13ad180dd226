package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// opIDHeader carries the op id of a compare-and-set: fresh for each logical
// write, the same for its repetitions.
const opIDHeader = "Rescreen-Op-Id"

// change is one compare-and-set.
type change struct {
	subject string
	value   []byte
	after   uint64 // sequence of the message it replaces; 0: there must be none
	header  nats.Header
}

// commit writes c if the last message on its subject still has sequence
// c.after, and returns the new sequence. It tries until it knows:
//
//   - Acknowledged: done.
//   - Anything else (refused by comparison, no answer, no leader): an earlier
//     try may have been stored all the same, so read back. Own op id: done.
//   - The sequence is still c.after: try again, whatever the answer was. Another writer
//     in flight (10164) may come to nothing, and the read may be old.
//   - The sequence is beyond c.after with another op id: ErrConflict. No read is
//     ever ahead of the truth, so nothing of ours can be stored from now on. Ours may
//     have been stored and replaced since; the caller starts again from
//     the record either way.
//   - The sequence is below c.after, or nothing is there: an old read, or the
//     message was removed (TTL, purge). The stream's last sequence tells: a server
//     that knows c.after was once given away does not lag behind it. Neither does
//     a stream that was made anew and never gave it away.
//
// A read never decides that a write was not applied.
func (l line) commit(ctx context.Context, c change) (uint64, error) {
	header := nats.Header{}
	maps.Copy(header, c.header)
	op := rand.Text()
	header.Set(opIDHeader, op)
	header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(c.after, 10))

	for try := 0; ; try++ {
		seq, err := l.publish(ctx, c.subject, c.value, header)
		v := judge(err)
		switch {
		case v == stored:
			return seq, nil
		case v == closed, v == refused && try == 0: // nothing of ours can be there
			return 0, refusal(v, err)
		}
		seq, known, rerr := l.readBack(ctx, c, op, v)
		switch {
		case known:
			return seq, rerr
		case v == refused:
			return 0, refusal(v, err)
		case pause(ctx, try) != nil:
			return 0, fmt.Errorf("outcome unknown: %w: %w", ctx.Err(), errors.Join(err, rerr))
		}
	}
}

// readBack looks once what became of a write that was not acknowledged. If not known,
// the error says why the read did not help, if it is the read that failed.
func (l line) readBack(ctx context.Context, c change, op string, v verdict) (seq uint64, known bool, err error) {
	var found *jetstream.RawStreamMsg
	err = l.once(ctx, func(ctx context.Context) (err error) {
		found, err = l.broker.next(ctx, c.subject, 0)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		found = &jetstream.RawStreamMsg{}
	case err != nil:
		return 0, false, err
	case found.Header.Get(opIDHeader) == op:
		return found.Sequence, true, nil
	case found.Sequence > c.after:
		return 0, true, ErrConflict
	}
	if found.Sequence == c.after || v != conflict {
		return 0, false, nil
	}
	var state streamState
	err = l.once(ctx, func(ctx context.Context) (err error) {
		state, err = l.broker.state(ctx)
		return err
	})
	if err != nil {
		return 0, false, err
	}
	if state.lastSeq >= c.after || state.anew {
		return 0, true, ErrConflict
	}
	return 0, false, nil
}

func refusal(v verdict, err error) error {
	if v == refused {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}
