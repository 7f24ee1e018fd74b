package redisbroker

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// handcar is a node whose only lane the test moves: nothing happens by itself, and its
// connections are said, not dialled. Its questions go to a real Redis.
type handcar struct {
	*node
	lane *lane
}

func newHandcar(t *testing.T) *handcar {
	t.Helper()
	conf := testConfig(redistest.Start(t))
	conf.PublishTimeout = 20 * time.Second
	b, err := Open(t.Context(), conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	h := &handcar{node: &node{
		Broker: b, t: t, got: map[string][]router.Received{}, stands: map[string][]router.Position{},
		rule: router.Rule{Events: 1000, Age: 5 * time.Minute, Bytes: 4 << 20, Replay: true},
	}}
	b.receiver = h.node
	h.lane = &lane{b: b, via: b.client, wake: make(chan struct{}, 1), readWake: make(chan struct{}, 1), gone: make(chan struct{}), fell: make(chan struct{})}
	b.lanes[""] = h.lane
	return h
}

// connect says that a connection stands, and has everything asked for on it. The turn is
// its.
func (h *handcar) connect() (turn uint32) {
	h.t.Helper()
	h.Broker.mu.Lock()
	h.lane.turn, h.lane.up = h.turnLocked(), true
	turn = h.lane.turn
	h.Broker.mu.Unlock()
	if !h.lane.begin(turn) {
		h.t.Fatal("the connection does not begin")
	}
	h.lane.askAgain(turn)
	return turn
}

// subscribe says that the server has subscribed to what it was asked for.
func (h *handcar) subscribeAll(turn uint32) (names []string) {
	_, names, _ = h.lane.orders()
	for _, name := range names {
		h.lane.subscribed(turn, rueidis.PubSubSubscription{Kind: "subscribe", Channel: name})
	}
	return names
}

// read catches up with all that is subscribed to.
func (h *handcar) read() {
	for {
		list, more := h.lane.toRead()
		if !more {
			return
		}
		h.lane.catchUp(list)
	}
}

// TestFallEndsAllStates: with a connection all that was said on it ends, and what it still
// says afterwards does not count.
func TestFallEndsAllStates(t *testing.T) {
	t.Parallel()
	h := newHandcar(t)
	turn := h.connect()
	h.Follow(news)
	names := h.subscribeAll(turn)
	if _, resident := h.Head(news); resident {
		t.Error("live before the head was read")
	}
	h.read()
	if _, resident := h.Head(news); !resident {
		t.Fatal("not live")
	}
	if again := h.subscribeAll(turn); len(again) > 0 {
		t.Errorf("%q are asked for twice", again)
	}
	h.lane.down()
	for _, when := range []string{"after the fall", "after a word of the connection that fell"} {
		if _, resident := h.Head(news); resident {
			t.Errorf("live %s", when)
		}
		h.lane.subscribed(turn, rueidis.PubSubSubscription{Kind: "subscribe", Channel: names[0]})
		h.read()
	}
	if again := h.subscribeAll(h.connect()); !slices.Equal(again, names) {
		t.Errorf("on the new connection %q are asked for, want %q", again, names)
	}
	h.read()
	if _, resident := h.Head(news); !resident {
		t.Error("not live on the new connection")
	}
}

// TestHeadOfBeforeDoesNotCount: a head is asked for, the connection is lost, an event is
// published, and the channel is subscribed to again, before the answer comes. Made live by
// that answer it would lack the event, and nothing would show it.
func TestHeadOfBeforeDoesNotCount(t *testing.T) {
	t.Parallel()
	h := newHandcar(t)
	h.Follow(news)
	h.subscribeAll(h.connect())
	h.read()
	h.lane.down()
	h.subscribeAll(h.connect())
	list, _ := h.lane.toRead()
	heads, err := h.heads(t.Context(), h.client, list)
	if err != nil || len(list) != 1 {
		t.Fatal(len(list), err)
	}
	h.lane.down()
	turn := h.connect()
	h.must(news, start(1))
	h.subscribeAll(turn)
	if err := h.lane.bringAll(t.Context(), list, heads); err != nil {
		t.Fatal(err)
	}
	if at, resident := h.Head(news); resident {
		t.Errorf("live at %d by a head of before", at.Seq)
	}
	h.read()
	if at, resident := h.Head(news); !resident || at.Seq != 1 || !slices.Equal(h.texts(news), starts(1, 1)) {
		t.Errorf("%v at %d: %q", resident, at.Seq, h.texts(news))
	}
}

// TestReloadReadsAnew: a rule that changes while a head is on its way makes that head one
// of before.
func TestReloadReadsAnew(t *testing.T) {
	t.Parallel()
	h := newHandcar(t)
	rule := h.rule
	h.rule = router.Rule{}
	h.Follow(news)
	h.subscribeAll(h.connect())
	list, _ := h.lane.toRead()
	heads, err := h.heads(t.Context(), h.client, list)
	if err != nil {
		t.Fatal(err)
	}
	h.rule = rule
	if err := h.Reload(h.conf.Keys); err != nil {
		t.Fatal(err)
	}
	if err := h.lane.bringAll(t.Context(), list, heads); err != nil {
		t.Fatal(err)
	}
	h.read()
	if at, resident := h.Head(news); !resident || at.Epoch == "" {
		t.Errorf("%v at %+v", resident, at)
	}
}

// TestWaitEndsWithTheConnection: who waits for a channel is told at once.
func TestWaitEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	h := newHandcar(t)
	h.connect()
	came := make(chan error, 1)
	go func() {
		_, err := h.Load(news)
		came <- err
	}()
	wait(t, "somebody waits", func() bool {
		h.Broker.mu.Lock()
		defer h.Broker.mu.Unlock()
		f := h.follows[h.keys.of(news)]
		return f != nil && f.waiters != nil
	})
	h.lane.down()
	select {
	case err := <-came:
		if !errors.Is(err, router.ErrBrokerUnavailable) {
			t.Error(err)
		}
	case <-time.After(h.conf.PublishTimeout / 2):
		t.Error("who waits for a lost connection is not told")
	}
}

// TestWaitersAreFirst: a channel that somebody waits for is asked for and read before a
// thousand others that were there earlier.
func TestWaitersAreFirst(t *testing.T) {
	t.Parallel()
	h := newHandcar(t)
	for i := range 3 * subscribeMost {
		h.Follow(news + start(i))
	}
	turn := h.connect()
	for len(h.subscribeAll(turn)) > 0 {
	}
	h.read()
	h.lane.down()
	turn = h.connect()
	go func() { _, _ = h.Load(news) }()
	wait(t, "somebody waits", func() bool {
		h.Broker.mu.Lock()
		defer h.Broker.mu.Unlock()
		f := h.follows[h.keys.of(news)]
		return f != nil && f.waiters != nil
	})
	if names := h.subscribeAll(turn); !slices.Contains(names, h.keys.of(news)) {
		t.Error("it is not among the first that are asked for")
	}
	for len(h.subscribeAll(turn)) > 0 {
	}
	list, _ := h.lane.toRead()
	h.lane.catchUp(list)
	if _, resident := h.Head(news); !resident {
		t.Error("it is not among the first that are read")
	}
}

// TestRoutes: channels go to the lane of their slot's master, and those that a server
// refused, or whose server is not known, are asked for again at the next look.
func TestRoutes(t *testing.T) {
	y := newYard(t, 300)
	asked := func(l *lane) (names []string) {
		for {
			_, some, more := l.orders()
			if names = append(names, some...); !more {
				slices.Sort(names)
				return names
			}
		}
	}
	all := asked(y.lanes[0])
	if len(all) != 300 {
		t.Fatalf("%d are asked for", len(all))
	}
	y.lanes[0].askAgain(y.lanes[0].turn)
	if again := asked(y.lanes[0]); len(again) > 0 {
		t.Errorf("%d are asked for twice on one connection", len(again))
	}
	y.Follow(news)
	if got := asked(y.lanes[0]); !slices.Equal(got, []string{y.Broker.keys.of(news)}) {
		t.Errorf("%q are asked for", got)
	}
	y.Unfollow(news) // before the server has answered
	y.sweep(time.Now().Add(time.Minute))
	if leaving, _, _ := y.lanes[0].orders(); !slices.Equal(leaving, []string{y.Broker.keys.of(news)}) {
		t.Errorf("%q are left", leaving)
	}
	y.unhome(y.lanes[0], all[:7])
	y.reroute(y.routes[0], nil)
	if got := asked(y.lanes[0]); !slices.Equal(got, all[:7]) {
		t.Errorf("refused were %q, asked for again are %q", all[:7], got)
	}
	y.reroute(y.routes[1], nil)
	if got := asked(y.lanes[1]); !slices.Equal(got, all) {
		t.Errorf("%d have moved, want %d", len(got), len(all))
	}
	set := func(l *lane) {
		y.Broker.mu.Lock()
		defer y.Broker.mu.Unlock()
		if delete(y.Broker.lanes, "a:1"); l != nil {
			y.Broker.lanes["a:1"] = l
		}
	}
	set(nil) // the library does not know the master yet
	y.reroute(y.routes[0], nil)
	if _, err := y.Load(y.keys[0]); !errors.Is(err, router.ErrBrokerUnavailable) {
		t.Errorf("a channel without a server: %v", err)
	}
	set(y.lanes[0])
	y.reroute(y.routes[0], nil)
	if got := asked(y.lanes[0]); !slices.Equal(got, all) {
		t.Errorf("%d have a server again, want %d", len(got), len(all))
	}
}

func TestQueue(t *testing.T) {
	t.Parallel()
	var q queue[int]
	for i := range 2*queuePart + 10 {
		q.push(i)
	}
	next := 0
	check := func(some []int, n int) {
		t.Helper()
		if len(some) != n {
			t.Fatalf("%d, want %d", len(some), n)
		}
		for _, v := range some {
			if v != next {
				t.Fatalf("%d comes, want %d", v, next)
			}
			next++
		}
	}
	check(q.take(100), 100)
	check(q.take(queuePart), queuePart-100)
	check(q.take(queuePart), queuePart)
	q.push(next + 10)
	var rest []int
	for v := range q.drain() {
		if rest = append(rest, v); v%2 == 0 {
			q.push(v)
		}
	}
	check(rest, 11)
	if again := q.take(queuePart); len(again) != 6 || again[0]%2 != 0 {
		t.Errorf("what was pushed meanwhile: %v", again)
	}
	if q.take(1) != nil {
		t.Error("it is not empty")
	}
}
