package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"rescreen/apiclient"
	"rescreen/queue"
	"rescreen/store"
	"rescreen/worker"
)

// A point is a boundary between two steps of a job at which a worker can die.
type point string

// The points in the order in which a job passes them. All are calls at the
// worker's ports or at the transport of the API's client, so that failpoints are
// decorators which only the tests know.
const (
	beforePull       point = "before-pull"
	afterPull        point = "after-pull" // jobs in hand, nothing done
	beforeIntent     point = "before-intent"
	intentCommitted  point = "intent-committed"
	tokenRequested   point = "token-requested" // answered, the answer not yet used
	beforePost       point = "before-post"
	postSent         point = "post-sent"     // written to the socket, the answer not read
	postAnswered     point = "post-answered" // at the transport, not yet seen by the worker
	beforeIDStored   point = "before-id-stored"
	idStored         point = "id-stored" // wake-up not parked
	pollDue          point = "poll-due"  // due message in hand, nothing done
	jsonFetched      point = "json-fetched"
	pdfFetched       point = "pdf-fetched"
	evidenceStored   point = "evidence-stored"
	beforeRecord     point = "before-record" // record read, done not committed
	recordCommitted  point = "record-committed"
	outcomePublished point = "outcome-published"
	beforeAck        point = "before-ack"
	acked            point = "acked"
)

var points = []point{
	beforePull, afterPull, beforeIntent, intentCommitted, tokenRequested, beforePost, postSent, postAnswered, beforeIDStored, idStored,
	pollDue, jsonFetched, pdfFetched, evidenceStored, beforeRecord, recordCommitted, outcomePublished, beforeAck, acked,
}

// in reports whether p lies within a stretch of the points, both ends included.
func (p point) in(from, to point) bool {
	at := slices.Index(points, p)
	return at >= slices.Index(points, from) && at <= slices.Index(points, to)
}

// failpointLine begins what a worker with a failpoint says about itself.
const failpointLine = "failpoint "

// fallen is what it says when its point is reached: what it then holds, pulled
// and not settled, and the last point each of its jobs has passed.
type fallen struct {
	Point point            `json:"point"`
	Fired string           `json:"fired,omitempty"` // the job at the point, <batch>.<job>
	Held  map[string]point `json:"held"`
	// Over is said by one that was stopped and went on, when all that it held is
	// settled. Tried and Refused count the records it still tried to commit for them.
	Over    bool `json:"over,omitempty"`
	Tried   int  `json:"tried,omitempty"`
	Refused int  `json:"refused,omitempty"`
}

// failpoint is a worker's end, or its long pause, at a point.
type failpoint struct {
	at     point
	signal syscall.Signal

	mu       sync.Mutex
	moved    *sync.Cond // that of mu: pulls or ending have changed
	hits     int        // until it happens
	pulls    int        // under way
	ending   bool       // nobody passes a point or begins a pull
	held     map[store.Key]*holding
	sessions map[apiclient.SessionID]store.Key
	fetched  map[*byte]store.Key // by the first byte of what was fetched
	woken    map[store.Key]bool  // held when it was stopped, and not settled since; nil before
	late     fallen
}

// holding is a job of which messages are in hand.
type holding struct {
	messages int
	stage    point
}

// failing is the program with a failpoint, which the environment names:
// FAILPOINT="post-sent kill 3" makes it kill itself when it passes that point
// for the third time.
func failing() {
	f := &failpoint{
		held: map[store.Key]*holding{}, sessions: map[apiclient.SessionID]store.Key{}, fetched: map[*byte]store.Key{},
	}
	f.moved = sync.NewCond(&f.mu)
	var action string
	if _, err := fmt.Sscan(os.Getenv("FAILPOINT"), &f.at, &action, &f.hits); err != nil || !slices.Contains(points, f.at) {
		fmt.Fprintln(os.Stderr, "FAILPOINT:", os.Getenv("FAILPOINT"), err)
		os.Exit(exitUsage)
	}
	f.signal = map[string]syscall.Signal{"kill": syscall.SIGKILL, "stop": syscall.SIGSTOP}[action]
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	a := &app{now: time.Now, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), faults: f}
	err := a.run(ctx, os.Args[1:])
	stop()
	printError(os.Stderr, err)
	os.Exit(exitCode(err))
}

// pass notes that a job has come to a point, and ends the process if it is the
// one. Everything else that would pass a point waits meanwhile.
func (f *failpoint) pass(p point, key store.Key) {
	if p == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.held[key]; h != nil {
		h.stage = p
	}
	f.going()
	if p != f.at {
		return
	}
	if f.hits--; f.hits == 0 {
		f.end(key)
	}
}

// going waits while the process is ending. The mutex is held.
func (f *failpoint) going() {
	for f.ending {
		f.moved.Wait()
	}
}

// end ends the process, or stops it and returns when it has been woken. The
// mutex is held.
func (f *failpoint) end(fired store.Key) {
	f.ending = true
	// What a pull under way brings is held, too, as the server sees it. What was
	// given back gets a moment to leave: the connection is flushed in the background.
	for f.pulls > 0 {
		f.moved.Wait()
	}
	f.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	f.mu.Lock()
	end := fallen{Point: f.at, Held: map[string]point{}}
	for k, h := range f.held {
		end.Held[k.String()] = h.stage
	}
	if fired != (store.Key{}) {
		end.Fired = fired.String()
		end.Held[end.Fired] = f.at // what has come in since has not been seen
	}
	end.say()
	last := time.Now()
	if err := syscall.Kill(os.Getpid(), f.signal); err != nil {
		panic(err)
	}
	if f.signal == syscall.SIGKILL {
		select {} // it is on its way
	}
	// So is SIGSTOP: it has come and gone when a moment has lasted for seconds.
	for now := time.Now(); now.Sub(last) < claims/4; now = time.Now() {
		last = now
		time.Sleep(time.Millisecond)
	}
	f.woken = map[store.Key]bool{}
	for k := range f.held {
		f.woken[k] = true
	}
	f.late.Point = f.at
	f.ending = false
	f.moved.Broadcast()
	f.sayOver()
}

func (e fallen) say() {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	// One unbuffered write: nothing of it is lost in what follows.
	if _, err := syscall.Write(2, []byte(failpointLine+string(line)+"\n")); err != nil {
		panic(err)
	}
}

// sayOver tells when nothing is left of what was held at the stop. The mutex is held.
func (f *failpoint) sayOver() {
	if len(f.woken) == 0 && !f.late.Over {
		f.late.Over = true
		f.late.say()
	}
}

// pull makes a pull that is known to be under way; take looks at what it brings.
func (f *failpoint) pull(pull func() ([]*queue.Delivery, error), take func(*queue.Delivery) (*queue.Delivery, error)) (taken []*queue.Delivery, err error) {
	f.mu.Lock()
	f.going()
	f.pulls++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.pulls--
		f.mu.Unlock()
		f.moved.Broadcast()
	}()
	got, err := pull()
	for _, d := range got {
		fresh, takeErr := take(d)
		if takeErr != nil {
			return taken, takeErr
		}
		if fresh != nil {
			taken = append(taken, fresh)
		}
	}
	return taken, err
}

// took notes a message that was pulled.
func (f *failpoint) took(key store.Key, p point) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[key]
	if h == nil {
		h = &holding{}
		f.held[key] = h
	}
	h.messages++
	h.stage = p
}

// settled notes a message that was acknowledged or given back.
func (f *failpoint) settled(key store.Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[key]
	if h.messages--; h.messages > 0 {
		return
	}
	delete(f.held, key)
	if f.woken != nil {
		delete(f.woken, key)
		f.sayOver()
	}
}

// stage is the last point that the job has passed.
func (f *failpoint) stage(key store.Key) point {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h := f.held[key]; h != nil {
		return h.stage
	}
	return ""
}

// lateFor reports whether the job was held when this worker was stopped.
func (f *failpoint) lateFor(key store.Key) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.woken[key]
}

// tried counts a commit for a job that was held at the stop.
func (f *failpoint) tried(refused bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.late.Tried++
	if refused {
		f.late.Refused++
	}
}

// personKey is the job in hand for a person of crashPerson's.
func (f *failpoint) personKey(lastName string) store.Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.held {
		if ref, ok := strings.CutPrefix(k.Job, "job-"); ok && strings.HasSuffix(lastName, ref) {
			return k
		}
	}
	return store.Key{}
}

// deps implements faults.
func (f *failpoint) deps(d *worker.Deps) {
	d.Ledger = mortalLedger{f, d.Ledger}
	d.Outcomes = mortalOutcomes{f, d.Outcomes}
	d.Evidence = mortalEvidence{f, d.Evidence}
	d.Sessions = mortalSessions{f, d.Sessions}
	d.Entities = mortalEntities{f, d.Entities}
	d.Due = mortalDue{f, d.Due}
	d.Jobs = mortalJobs{f, d.Jobs}
}
