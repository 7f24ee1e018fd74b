package limits

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

func TestMain(m *testing.M) { os.Exit(hftest.Main(m)) }

const (
	crowd    = 100                   // well-behaved clients beside each abuse
	interval = 50 * time.Millisecond // between two events of theirs
	window   = time.Second / 2       // of measuring, at least
	// slack is what an abuse may add to their 99th percentile. It is far above what
	// it does add, and far below what a client would call a hang: the machine may be
	// busy with other things.
	slack = time.Second * slowdown
)

const crowdChannel = "bystanders"

// bystanders are the well-behaved clients: subscribed to one channel, on which a
// publisher sends numbered events at a steady rate. The rate is open-loop: event n
// is due n intervals after the beginning, whatever became of those before it, and
// its latency counts from then.
type bystanders struct {
	// Immutable after accompany.
	t       testing.TB
	edge    *hftest.Edge
	begun   time.Time
	clients []*bystander
	done    chan struct{} // closed at the end

	rounds atomic.Int64 // of storms

	mu     sync.Mutex
	errors int
	faults []string // the first of them, in words
	ended  bool

	work sync.WaitGroup
}

// bystander is one client. Guarded by bystanders.mu but for its socket.
type bystander struct {
	socket  *socket
	latency []time.Duration // by event
}

// accompany connects the bystanders and begins to publish. They leave with the test.
func accompany(t testing.TB, edge *hftest.Edge) *bystanders {
	t.Helper()
	b := &bystanders{t: t, edge: edge, done: make(chan struct{})}
	for range crowd {
		s, err := join(edge, how{}, crowdChannel)
		if err != nil {
			t.Fatalf("a bystander is not served: %v", err)
		}
		b.clients = append(b.clients, &bystander{socket: s})
	}
	b.begun = time.Now()
	for _, c := range b.clients {
		b.work.Go(func() { b.listen(c) })
	}
	b.work.Go(b.publish)
	t.Cleanup(b.leave)
	return b
}

func (b *bystanders) leave() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	close(b.done)
	for _, c := range b.clients {
		c.socket.close()
	}
	b.work.Wait()
}

func (b *bystanders) publish() {
	for n := 1; ; n++ {
		select {
		case <-b.done:
			return
		case <-time.After(time.Until(b.begun.Add(time.Duration(n) * interval))):
		}
		r, err := demo.post(b.edge, "/events", event("tick", strconv.Itoa(n), crowdChannel))
		if err != nil || r.Status != 200 {
			b.fault("event %d was not taken: %d %s, %v", n, r.Status, r.Body, err)
		}
	}
}

// listen is one client's life. It answers pings, as client libraries do.
func (b *bystanders) listen(c *bystander) {
	for {
		m, err := c.socket.next()
		switch {
		case err == nil && m.op == opPing:
			err = c.socket.frame(fin|opPong, m.payload)
		case err == nil && m.op == opText:
			err = b.hear(c, m)
		case err == nil:
			err = fmt.Errorf("got %v", m)
		}
		if err != nil {
			b.fault("a bystander was cut off: %v", err)
			return
		}
	}
}

func (b *bystanders) hear(c *bystander, m message) error {
	now := time.Now()
	ev, err := m.event()
	switch {
	case err != nil:
		return err
	case ev.Event == "pusher:ping":
		return c.socket.text(`{"event":"pusher:pong","data":{}}`)
	case ev.Event == "pusher_internal:position": // the log has no hole that it does not tell
		return nil
	case ev.Event != "tick":
		return fmt.Errorf("got %s", ev.Raw)
	}
	n, err := strconv.Atoi(ev.Text())
	if err != nil {
		return err
	}
	b.mu.Lock()
	want := len(c.latency) + 1
	for len(c.latency) < n {
		c.latency = append(c.latency, now.Sub(b.begun.Add(time.Duration(n)*interval)))
	}
	b.mu.Unlock()
	switch {
	case n > want:
		b.fault("events %d to %d are missing", want, n-1)
	case n < want:
		b.fault("event %d came after %d", n, want-1)
	}
	return nil
}

func (b *bystanders) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.errors++
	if len(b.faults) < 5 {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// due is the number of the last event that should have been published by now.
func (b *bystanders) due() int { return int(time.Since(b.begun) / interval) }

// beside measures the bystanders for a while, and again while abuse runs, and
// holds both against each other. abuse runs on the test's goroutine.
func (b *bystanders) beside(limit string, abuse func()) {
	b.t.Helper()
	before, errorsBefore := b.measure(func() {})
	b.rounds.Store(0)
	during, errorsDuring := b.measure(abuse)
	fmt.Printf("limit=%-28s before p99=%-8s errors=%d  during p99=%-8s errors=%d  rounds=%d\n",
		limit, before.Round(10*time.Microsecond), errorsBefore, during.Round(10*time.Microsecond), errorsDuring, b.rounds.Load())
	if errorsBefore+errorsDuring > 0 {
		b.t.Errorf("%s: the bystanders had %d errors before and %d during the abuse: %q", limit, errorsBefore, errorsDuring, b.faults)
	}
	if during > before+slack {
		b.t.Errorf("%s: the 99th percentile of the bystanders rose from %s to %s", limit, before, during)
	}
}

// measure lasts one window, or as long as do takes, and then until everyone has
// what was due in it.
func (b *bystanders) measure(do func()) (p99 time.Duration, errors int) {
	b.t.Helper()
	b.mu.Lock()
	errors = b.errors
	b.mu.Unlock()
	first, end := b.due()+1, time.Now().Add(window)
	do()
	time.Sleep(time.Until(end)) // the window is a length of time
	last := b.due()
	b.caughtUp(last)

	b.mu.Lock()
	defer b.mu.Unlock()
	var samples []time.Duration
	for _, c := range b.clients {
		if got := min(last, len(c.latency)); got >= first {
			samples = append(samples, c.latency[first-1:got]...)
		}
	}
	if len(samples) == 0 {
		return 0, b.errors - errors
	}
	slices.Sort(samples)
	return samples[len(samples)*99/100], b.errors - errors
}

// caughtUp waits until every bystander has seen event n. Who never does counts as
// an error.
func (b *bystanders) caughtUp(n int) {
	behind := func() (count int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.clients {
			if len(c.latency) < n {
				count++
			}
		}
		return count
	}
	if !eventually(func() bool { return behind() == 0 }) {
		b.fault("%d bystanders never saw event %d", behind(), n)
	}
}

// storm plays rounds on several goroutines, each as fast as the server answers,
// for one window, at least one round each. Errors of rounds fail the test.
func (b *bystanders) storm(workers int, round func(worker int) error) {
	b.t.Helper()
	until := time.Now().Add(window)
	faults := make(chan error, workers)
	var work sync.WaitGroup
	for w := range workers {
		work.Go(func() {
			for again := true; again; again = time.Now().Before(until) {
				if err := round(w); err != nil {
					faults <- err
					return
				}
				b.rounds.Add(1)
			}
		})
	}
	work.Wait()
	close(faults)
	for err := range faults {
		b.t.Error(err)
	}
}

// eventually asks every few milliseconds until the answer is yes.
func eventually(ask func() bool) bool {
	for deadline := time.Now().Add(hftest.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ask() {
			return true
		}
	}
	return ask()
}
