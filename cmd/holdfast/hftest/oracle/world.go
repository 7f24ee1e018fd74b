package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// World is one server with those who publish to it and listen to it.
type World struct {
	// Immutable after NewWorld.
	Edge   *hftest.Edge
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
	seed := seedOf(t)
	w := &World{
		t: t, Ledger: NewLedger(seed, pad), Seed: seed, Rand: rand.New(rand.NewPCG(seed, 0)),
		Keeps: map[string]int{}, epochs: map[string]string{}, checked: map[string]Position{},
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: hftest.Patience},
	}
	w.Edge = hftest.Start(t, o)
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
	if l.Addr == "" {
		l.Addr = w.Edge.Addr
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

// channels are those that somebody publishes to.
func (w *World) channels() []string {
	names := map[string]bool{}
	for _, p := range w.publishers {
		names[p.s.Channel] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Position asks where a channel stands; none if it has no history.
func (w *World) Position(channel string) Position {
	w.t.Helper()
	r := w.Edge.Call(http.MethodGet, "/channels/"+channel, url.Values{"info": {"position"}}, nil)
	var body struct{ Position Position }
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil || r.Status != http.StatusOK {
		w.t.Fatalf("position of %s: %d %s, %v", channel, r.Status, r.Body, err)
	}
	return body.Position
}

// SameEpochs looks whether the channels have the epochs that they had before, and
// returns those that have another one.
func (w *World) SameEpochs() (changed []string) {
	w.t.Helper()
	for _, channel := range w.channels() {
		epoch := w.Position(channel).Epoch
		if before := w.epochs[channel]; before != "" && before != epoch {
			changed = append(changed, fmt.Sprintf("%s from %s to %s", channel, before, epoch))
			w.epochsNew++
		}
		w.epochs[channel] = epoch
	}
	return changed
}

// History reads a channel's history to its head, from a position on, or all that is
// kept. ok is false when the position is not in it any more.
func (w *World) History(channel string, since Position) (k Kept, ok bool) {
	w.t.Helper()
	query := url.Values{"limit": {"1000"}}
	if since.Epoch != "" {
		query.Set("since", since.String())
	}
	for {
		r := w.Edge.Call(http.MethodGet, "/channels/"+channel+"/history", query, nil)
		var page struct {
			Position Position
			Oldest   uint64
			Events   []KeptEvent
			Next     *string
		}
		if err := json.Unmarshal([]byte(r.Body), &page); err != nil {
			w.t.Fatalf("history of %s: %d %s, %v", channel, r.Status, r.Body, err)
		}
		if r.Status == http.StatusGone {
			return Kept{At: page.Position, Oldest: page.Oldest}, false
		}
		if r.Status != http.StatusOK {
			w.t.Fatalf("history of %s: %d %s", channel, r.Status, r.Body)
		}
		k.At, k.Oldest = page.Position, page.Oldest
		k.Events = append(k.Events, page.Events...)
		if page.Next == nil {
			return k, true
		}
		query.Set("since", *page.Next)
	}
}

// answeredSoFar is the newest event of each channel that was taken and has a
// position. It is asked for while the server is away.
func (w *World) answeredSoFar() map[string]int {
	l := w.Ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := map[string]int{}
	for channel, p := range l.pages {
		for n := len(p.entries); n > 0 && newest[channel] == 0; n-- {
			if e := &p.entries[n-1]; e.outcome == Taken && e.at.Epoch != "" {
				newest[channel] = n
			}
		}
	}
	return newest
}

// checkReplayable looks whether the history has everything that was taken up to the
// events in newest, since the last time that it looked. The whole is looked at in
// the end; this names the restart that lost something.
func (w *World) checkReplayable(newest map[string]int) {
	w.t.Helper()
	for channel, n := range newest {
		since := w.checked[channel]
		k, ok := w.History(channel, since)
		if !ok {
			w.t.Errorf("seed %d: the history of %s does not have %s any more, it stands at %s", w.Seed, channel, since, k.At)
			continue
		}
		w.checked[channel] = w.kept(channel, k, since, n)
	}
}

// kept checks that k has every event up to n that was taken behind since, and
// returns the position of n.
func (w *World) kept(channel string, k Kept, since Position, n int) Position {
	w.t.Helper()
	there := map[Position]string{}
	for _, e := range k.Events {
		there[Position{k.At.Epoch, e.Seq}] = e.Data
	}
	l := w.Ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		e := &l.pages[channel].entries[i]
		if e.outcome != Taken || e.at.Epoch != k.At.Epoch || e.at.Seq <= since.Seq {
			continue
		}
		if got, ok := l.Read(channel, there[e.at]); !ok || got != i+1 {
			w.t.Errorf("seed %d: %s: event %d at %s was answered and is not replayed, but %.80q", w.Seed, channel, i+1, e.at, there[e.at])
		}
	}
	return l.pages[channel].entries[n-1].at
}

// Settle ends the publishing, waits until every client has the last event of each of
// its channels, or for as long as that may take, and returns the oracle's verdict.
func (w *World) Settle(p Policy) Verdict {
	w.t.Helper()
	w.stopPublishers()
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
		w.t.Errorf("the oracle, seed %d: %s", w.Seed, v.String())
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

// Figures are what every test tells about its run.
func (w *World) Figures(v Verdict) map[string]any {
	taken, refused, open := w.Ledger.Count()
	lost, there, replayed, dials := 0, 0, 0, 0
	statuses := map[string]int{}
	for _, p := range w.publishers {
		p.mu.Lock()
		lost += p.lost
		there += p.there
		replayed += p.replayed
		for s, n := range p.statuses {
			statuses[s] += n
		}
		p.mu.Unlock()
	}
	for _, c := range w.clients {
		dials += c.Dials()
	}
	return map[string]any{
		"taken": taken, "refused": refused, "unanswered": open, "answers": statuses,
		"answers_lost": lost, "answers_lost_published": there, "answers_replayed": replayed,
		"clients": len(w.clients), "connects": dials, "delivered": v.Delivered, "recoveries": v.Recoveries, "gaps": v.Gaps,
		"silent": v.Silent, "duplicate": v.Duplicates, "disorder": v.Disorder, "hole": v.Holes, "invented": v.Invented,
		"misplaced": v.Misplaced, "not_kept": v.NotKept, "excused": v.Excused, "lost": v.Lost, "epochs_changed": w.epochsNew,
	}
}

// answersLost counts the requests whose events clients have and whose answer was lost.
func (w *World) answersLost() (there int) {
	for _, p := range w.publishers {
		there += p.there
	}
	return there
}

// Slowest is the longest that a taken request took on the channels that are asked for.
func (w *World) Slowest(wanted func(Source) bool) (slowest time.Duration) {
	for _, p := range w.publishers {
		if !wanted(p.s) {
			continue
		}
		p.mu.Lock()
		for _, took := range p.latency {
			slowest = max(slowest, took)
		}
		p.mu.Unlock()
	}
	return slowest
}

// Metric is a metric of the server, summed over its labels.
func (w *World) Metric(name string) float64 {
	w.t.Helper()
	sum := 0.0
	for line := range strings.Lines(w.Edge.Metrics()) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(line)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			w.t.Fatalf("metric %s: %v", line, err)
		}
		sum += v
	}
	return sum
}
