package queue

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// lanes are the subscriptions that pull requests are answered on, kept for
// reuse: a subscription per request would be announced to every server of a
// cluster each time.
type lanes struct {
	nc *nats.Conn

	mu     sync.Mutex
	closed bool
	idle   []*lane
	all    map[*lane]struct{}
}

func newLanes(nc *nats.Conn) *lanes {
	return &lanes{nc: nc, all: make(map[*lane]struct{})}
}

// take returns a lane that is not in use.
func (ls *lanes) take() (*lane, error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return nil, ErrPullerClosed
	}
	ls.sweep(time.Now())
	if n := len(ls.idle); n > 0 {
		l := ls.idle[n-1]
		ls.idle = ls.idle[:n-1]
		return l, nil
	}
	l := &lane{lanes: ls, nc: ls.nc, inbox: ls.nc.NewInbox(), gone: make(chan struct{})}
	sub, err := ls.nc.Subscribe(l.inbox+".*", l.receive)
	if err != nil {
		return nil, err
	}
	l.sub = sub
	sub.SetClosedHandler(func(string) { close(l.gone) })
	// The requests bound what arrives. The client's own bound would drop
	// messages, which then come again only after their ack wait.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	ls.all[l] = struct{}{}
	return l, nil
}

// put keeps a lane for the next request.
func (ls *lanes) put(l *lane) {
	l.finish()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.closed && l.sub.IsValid() {
		ls.idle = append(ls.idle, l)
	} else {
		delete(ls.all, l)
	}
}

// sweep drops lanes whose abandoned request the server must have forgotten
// without saying so, as it does when a connection breaks. ls.mu is held.
func (ls *lanes) sweep(now time.Time) {
	for l := range ls.all {
		if l.overdue(now) {
			delete(ls.all, l)
			_ = l.sub.Unsubscribe() // an error means that it has ended already
		}
	}
}

// close ends all subscriptions.
func (ls *lanes) close() error {
	ls.mu.Lock()
	ls.closed = true
	all := ls.all
	ls.all, ls.idle = nil, nil
	ls.mu.Unlock()
	var errs []error
	for l := range all {
		err := l.sub.Unsubscribe()
		if !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// ended says why a subscription ended under a request.
func (ls *lanes) ended() error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return ErrPullerClosed
	}
	return nats.ErrConnectionClosed
}

// lane is a subscription of its own for one pull request at a time. It
// outlives the request: whatever still arrives for one that was given up is
// handed back.
//
// A message carries its own subject, not that of the request it answers, so
// that requests under way at the same time need a subscription each.
type lane struct {
	lanes *lanes
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription
	gone  chan struct{} // closed with the subscription

	mu      sync.Mutex
	number  uint64         // of the request: the last token of its reply subject
	events  chan *nats.Msg // of the request under way, else nil
	owed    bool           // given up before the server was through with it
	expires time.Time      // when the server must have forgotten what is owed
}

// request sends a pull request for up to limit messages. The channel has room
// for all of them and the status that may end the request.
func (l *lane) request(subject string, limit int, wait time.Duration) (<-chan *nats.Msg, error) {
	events := make(chan *nats.Msg, limit+1)
	l.mu.Lock()
	l.number++
	l.events = events
	reply := l.reply()
	l.mu.Unlock()
	err := l.nc.PublishRequest(subject, reply, pullRequest{Batch: limit, NoWait: true, Expires: wait}.encode())
	return events, err
}

// reply returns the reply subject of the request; l.mu is held.
func (l *lane) reply() string { return l.inbox + "." + strconv.FormatUint(l.number, 10) }

// receive takes what the server sends.
func (l *lane) receive(m *nats.Msg) {
	if l.route(m) {
		l.lanes.put(l)
	}
}

// route passes a message on to the request, or hands it back when nobody waits
// for it. It reports whether the server is through with a request given up.
func (l *lane) route(m *nats.Msg) (clean bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !isMessage(m) && m.Subject != l.reply() {
		return false // about an earlier request
	}
	if l.events != nil {
		select {
		case l.events <- m:
			return false
		default: // more than was asked for, which no server sends
		}
	}
	if isMessage(m) {
		l.handBack(m)
		return false
	}
	clean, l.owed = l.owed, false
	return clean
}

// isMessage tells messages, which have a reply subject to be acknowledged on,
// from statuses, which have none.
func isMessage(m *nats.Msg) bool { return m.Reply != "" }

// finish ends the request. Messages beyond what it asked for, which can only
// be late ones of an earlier request, are handed back.
func (l *lane) finish() {
	l.mu.Lock()
	events := l.events
	l.events = nil
	l.mu.Unlock()
	for {
		select {
		case m := <-events:
			l.handBack(m)
		default:
			return
		}
	}
}

// handBack returns a message that nobody waits for.
func (l *lane) handBack(m *nats.Msg) {
	if isMessage(m) {
		// An error means that the connection is gone, and the message with it.
		_ = jetstreamAcker{l.nc, m.Reply}.Settle(Settlement{Answer: HandedBack})
	}
}

// abandon gives the request up, after which the lane looks after itself, and
// returns what had arrived by then. The server may go on sending for the given
// time.
func (l *lane) abandon(d time.Duration) []*nats.Msg {
	l.mu.Lock()
	events := l.events
	l.events, l.owed, l.expires = nil, true, time.Now().Add(d)
	l.mu.Unlock()
	var arrived []*nats.Msg
	for {
		select {
		case m := <-events:
			if isMessage(m) {
				arrived = append(arrived, m)
			} else if l.route(m) {
				l.lanes.put(l)
			}
		default:
			return arrived
		}
	}
}

func (l *lane) overdue(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owed && now.After(l.expires)
}
