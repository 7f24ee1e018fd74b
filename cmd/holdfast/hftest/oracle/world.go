package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// World is one server, or a cluster of some, with those who publish to it and listen to
// it.
type World struct {
	// Immutable after NewWorld.
	Edge   *hftest.Edge   // the first of Edges
	Edges  []*hftest.Edge // all nodes
	Ledger *Ledger
	Seed   uint64
	t      testing.TB
	http   *http.Client

	// Owned by the test's goroutine.
	Rand       *rand.Rand
	Keeps      map[string]int // how many events a channel's history holds, if it is not all
	publishers []*publisher
	clients    []*Client
	work       sync.WaitGroup // publishers
	epochs     map[string]string
	checked    map[string]Position // history was checked up to it
	notes      []string            // what the test did
	epochsNew  int                 // how often a channel was found with another epoch

	mu     sync.Mutex
	faults []string // guarded by mu
}

// Keep is a configuration that keeps everything of every channel for as long as a
// test lasts.
const Keep = `
[limits]
recover_events = 100000
[[history]]
match = "*"
events = 1000000
age = "1h"
bytes = "1GiB"
`

// NewWorld starts a server. Its events have up to pad bytes beyond the usual.
func NewWorld(t testing.TB, o hftest.Options, pad int) *World {
	t.Helper()
	return NewCluster(t, pad, o)
}

// NewCluster is NewWorld for several servers, which the options join to one cluster. Who
// publishes goes to any of them with each request, and who listens with each connection.
func NewCluster(t testing.TB, pad int, nodes ...hftest.Options) *World {
	t.Helper()
	seed := seedOf(t)
	w := &World{
		t: t, Ledger: NewLedger(seed, pad), Seed: seed, Rand: rand.New(rand.NewPCG(seed, 0)),
		Keeps: map[string]int{}, epochs: map[string]string{}, checked: map[string]Position{},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: hftest.Patience},
	}
	for _, o := range nodes {
		w.Edges = append(w.Edges, hftest.Start(t, o))
	}
	w.Edge = w.Edges[0]
	t.Cleanup(func() {
		w.stopPublishers()
		for _, c := range w.clients {
			c.end()
		}
		w.http.CloseIdleConnections()
	})
	return w
}

// seedOf is HOLDFAST_SEED, or this moment.
func seedOf(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1_000_000_000
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("HOLDFAST_SEED: %v", err)
		}
	}
	t.Logf("HOLDFAST_SEED=%d", seed)
	return seed
}

// Listen lets a client come, and returns when it is subscribed.
func (w *World) Listen(l Listener) *Client {
	w.t.Helper()
	if len(l.Addrs) == 0 {
		for _, e := range w.Edges {
			l.Addrs = append(l.Addrs, e.Addr)
		}
	}
	c := newClient(l, w.Ledger, w.fault)
	w.clients = append(w.clients, c)
	w.Await("subscribed: "+l.String(), c.Subscribed)
	return c
}

// PublishThrough has publishers, which must not have begun, reach the server at
// another address.
func (w *World) PublishThrough(addr string) {
	transport := w.http.Transport.(*http.Transport) //nolint:forcetypeassert // NewWorld made it
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// Publish lets a publisher begin.
func (w *World) Publish(s Source) {
	p := &publisher{w: w, s: s, rand: rand.New(rand.NewPCG(w.Seed, uint64(len(w.publishers)+1))), statuses: map[string]int{}}
	w.publishers = append(w.publishers, p)
	w.work.Go(p.run)
}

func (w *World) stopPublishers() {
	for _, p := range w.publishers {
		p.stop()
	}
	w.work.Wait()
}

// Note keeps what the test did, with the moment on the ledger's clock; the last of
// them are told if the oracle finds something.
func (w *World) Note(what string) {
	w.notes = append(w.notes, fmt.Sprintf("at %d: %s", w.Ledger.Stamp(), what))
}

// fault notes what is wrong beyond the oracle. Any goroutine.
func (w *World) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) < mostFaults {
		w.faults = append(w.faults, fmt.Sprintf(format, args...))
	}
}

// Await asks every few milliseconds until the answer is yes.
func (w *World) Await(what string, ask func() bool) {
	w.t.Helper()
	if !eventually(ask) {
		w.t.Fatalf("waited %s for: %s", hftest.Patience, what)
	}
}

func eventually(ask func() bool) bool {
	for deadline := time.Now().Add(hftest.Patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ask() {
			return true
		}
	}
	return ask()
}

// Start starts the server again and returns how long it took, from the exec to
// /readyz 200.
func (w *World) Start() time.Duration {
	w.t.Helper()
	ready := make(chan time.Time, 1)
	began := time.Now()
	go func() {
		url := "http://" + w.Edge.AdminAddr + "/readyz"
		for deadline := began.Add(hftest.Patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
			resp, err := http.Get(url)
			if err != nil {
				continue
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		ready <- time.Now()
	}()
	w.Edge.Run()
	return (<-ready).Sub(began)
}

// Settle ends the publishing, waits until every client has the last event of each of
// its channels, or for as long as that may take, and returns the oracle's verdict.
func (w *World) Settle(p Policy) Verdict {
	w.t.Helper()
	w.stopPublishers()
	for _, c := range w.clients {
		w.Await("subscribed: "+c.l.String(), c.Subscribed) // else it may come after the last event
	}
	w.lastWords()
	var diaries []*Diary
	behind := func() (who []string) {
		for _, c := range w.clients {
			for _, channel := range c.l.Channels {
				if last := w.Ledger.Last(channel); c.Newest(channel) < last {
					who = append(who, fmt.Sprintf("%s has %d of %d on %s", c.l.Name, c.Newest(channel), last, channel))
				}
			}
		}
		return who
	}
	eventually(func() bool { return len(behind()) == 0 })
	if who := behind(); len(who) > 0 {
		w.fault("some never got the last event: %v", who)
	}
	kept := map[string]Kept{}
	for _, channel := range w.channels() {
		if w.Position(channel).Epoch != "" {
			k, _ := w.History(channel, Position{})
			k.Most = w.Keeps[channel]
			kept[channel] = k
		}
	}
	for _, c := range w.clients {
		c.Diary.Settled()
		diaries = append(diaries, c.Diary)
	}
	v := Check(w.Ledger, diaries, kept, p)
	if !v.OK() {
		w.t.Errorf("the oracle, seed %d: %s\n%s", w.Seed, v.String(), strings.Join(w.notes, "\n"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) > 0 {
		w.t.Errorf("seed %d:\n%s", w.Seed, strings.Join(w.faults, "\n"))
	}
	return v
}

// lastWords publishes one more event to each channel, for all of its subscribers,
// until the server takes it.
func (w *World) lastWords() {
	w.t.Helper()
	seen := map[string]bool{}
	for _, p := range w.publishers {
		if seen[p.s.Channel] {
			continue
		}
		seen[p.s.Channel] = true
		p.s.Except, p.s.Batch = nil, 1
		w.Await("a last event on "+p.s.Channel, func() bool { return p.publish() == Taken })
	}
}
