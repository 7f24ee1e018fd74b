package redisbroker

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// client is a connection of the test's own.
func client(t testing.TB, s *redistest.Server) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr()}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// wait waits for what must come.
func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come in 20 s", what)
		}
	}
}

// node is one server of the cluster as its broker sees it.
type node struct {
	*Broker
	t testing.TB

	mu     sync.Mutex
	rule   router.Rule
	got    map[string][]router.Received
	stands map[string][]router.Position

	name    string
	changes map[string][]string // "+user" and "-user", in order
	told    []string

	nodesGone int

	onReceive func() // nil = nobody asks
}

func testConfig(s *redistest.Server) Config {
	return Config{
		URL: s.URL(), Prefix: "test:", Keys: Keys{Shared: []byte(strings.Repeat("k", 32))}, PublishTimeout: 2 * time.Second,
		Lease: 10 * time.Second, HeadAge: time.Hour, IdempotencyAge: time.Minute, CacheBytes: 1 << 20,
	}
}

func join(t testing.TB, conf Config) *node {
	t.Helper()
	b, err := Open(context.Background(), conf, slog.New(slog.NewTextHandler(testWriter{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		Broker: b, t: t, got: map[string][]router.Received{}, stands: map[string][]router.Position{},
		changes: map[string][]string{},
		rule:    router.Rule{Events: 1000, Age: 5 * time.Minute, Bytes: 4 << 20, Replay: true},
	}
	t.Cleanup(b.Close)
	b.Begin(n)
	wait(t, "the connection for events", b.Up)
	return n
}

// testWriter logs to the test. It is closed with the broker, before the test ends.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (n *node) Receive(e router.Received) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onReceive != nil {
		n.onReceive()
		return
	}
	n.got[e.Key] = append(n.got[e.Key], e)
}

func (n *node) Stand(key string, at router.Position) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stands[key] = append(n.stands[key], at)
}

func (n *node) Present(key string, version uint64, joined []pusher.Member, left []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range joined {
		n.changes[key] = append(n.changes[key], "+"+m.UserID)
	}
	for _, id := range left {
		n.changes[key] = append(n.changes[key], "-"+id)
	}
}

func (n *node) Told(key, what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, key+" "+what)
}

func (n *node) Reply(what []byte) []byte { return append([]byte(n.name+" "), what...) }

func (n *node) present(key string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.changes[key]...)
}

func (n *node) Gone(bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodesGone++
}

func (n *node) RuleOf(string) router.Rule { return n.rule }
func (n *node) CacheTTL() time.Duration   { return time.Minute }

// follows subscribes as the router does: the head first, then the channel.
func (n *node) subscribe(key string) router.Position {
	n.t.Helper()
	if _, err := n.Load(key); err != nil {
		n.t.Fatalf("%s: %v", key, err)
	}
	at, resident := n.Head(key)
	if !resident {
		n.t.Fatalf("%s is not followed after Load", key)
	}
	n.Follow(key)
	return at
}

func (n *node) received(key string) []router.Received {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]router.Received(nil), n.got[key]...)
}

func (n *node) stood(key string) []router.Position {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]router.Position(nil), n.stands[key]...)
}

// item is an event to publish.
type item struct {
	text string
	res  router.LogResult
}

func (i *item) AppendPayload(dst []byte, _ string, seq uint64) []byte {
	return router.AppendStored(dst, []byte(i.text), seq)
}

func (i *item) Done(res router.LogResult) { i.res = res }

// publish publishes events of one channel and returns what became of each.
func (n *node) publish(key string, change func(*router.LogAppend), texts ...string) []router.LogResult {
	n.t.Helper()
	items, batch := make([]item, len(texts)), make([]router.LogAppend, len(texts))
	for i, text := range texts {
		items[i].text = text
		batch[i] = router.LogAppend{Key: key, Rule: n.rule, Item: &items[i]}
		if change != nil {
			change(&batch[i])
		}
	}
	if err := n.Append(batch); err != nil {
		n.t.Fatal(err)
	}
	out := make([]router.LogResult, len(items))
	for i := range items {
		out[i] = items[i].res
	}
	return out
}

// must publishes one event that has to be taken.
func (n *node) must(key, text string) router.LogResult {
	n.t.Helper()
	res := n.publish(key, nil, text)[0]
	if res.Err != nil {
		n.t.Fatalf("publish %s: %v", text, res.Err)
	}
	return res
}

// eventually is must after Redis was away: a connection may find only now that it is dead.
func (n *node) eventually(key, text string) (res router.LogResult) {
	n.t.Helper()
	wait(n.t, "a publish is taken", func() bool {
		res = n.publish(key, nil, text)[0]
		return res.Err == nil
	})
	return res
}

// texts are what came, and fails if the numbers of an epoch have a hole or come twice.
func (n *node) texts(key string) (out []string) {
	n.t.Helper()
	var last router.Received
	for _, e := range n.received(key) {
		if e.Seq != 0 && e.Epoch == last.Epoch && e.Seq != last.Seq+1 {
			n.t.Errorf("%s: %d follows %d in epoch %s", key, e.Seq, last.Seq, e.Epoch)
		}
		last = e
		out = append(out, string(e.Text))
	}
	return out
}
