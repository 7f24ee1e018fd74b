package routertest

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

// Node is one server, with as much of a router as the contract speaks of. Any goroutine.
type Node struct {
	// Immutable.
	t      testing.TB
	name   string
	log    router.Log
	broker router.Broker // nil = the server stands alone

	mu sync.Mutex
	// Guarded by mu.
	rules    map[string]router.Rule // of the channels whose rule is not standard
	cacheTTL time.Duration
	out      map[string][]router.Received // what was handed out, by channel
	stood    map[string][]router.Position
	rooms    map[string]*room
	told     []string
}

// room is a presence channel as the node was told of it.
type room struct {
	version uint64
	changes []string // "+user" and "-user", in order
	there   map[string]bool
	gone    map[string]time.Time // when a user was last said to have gone
}

// standard is the rule of a channel unless a test says otherwise.
var standard = router.Rule{Events: 1000, Age: 5 * time.Minute, Bytes: 4 << 20, Replay: true}

// Alone is a server that stands alone with its log.
func Alone(t testing.TB, log router.Log) *Node {
	return &Node{
		t: t, name: "alone", log: log, rules: map[string]router.Rule{}, cacheTTL: time.Minute,
		out: map[string][]router.Received{}, stood: map[string][]router.Position{}, rooms: map[string]*room{},
	}
}

// Join is a node of a cluster; name tells it from the others. It calls Begin.
func Join(t testing.TB, name string, b router.Broker) *Node {
	n := Alone(t, b)
	n.name, n.broker = name, b
	b.Begin(n)
	return n
}

// follow begins as a router does that gets the first subscriber of a channel, and returns
// the position that it is told.
func (n *Node) follow(key string) router.Position {
	n.t.Helper()
	if _, err := n.log.Load(key); err != nil {
		n.t.Fatalf("%s: load %q: %v", n.name, key, err)
	}
	at, resident := n.log.Head(key)
	if !resident {
		n.t.Fatalf("%s: after Load memory cannot tell where %q stands", n.name, key)
	}
	if n.broker != nil {
		n.broker.Follow(key)
	}
	return at
}

func (n *Node) head(key string) router.Position {
	at, _ := n.log.Head(key)
	return at
}

// setRule gives a channel a rule on every node.
func (c *Cluster) setRule(key string, rule router.Rule) {
	for _, n := range c.Nodes {
		n.mu.Lock()
		n.rules[key] = rule
		n.mu.Unlock()
	}
}

// handedOut is what the node has handed out of a channel.
func (n *Node) handedOut(key string) []router.Received {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.out[key])
}

// waitOut waits until so many events were handed out.
func (n *Node) waitOut(key string, events int) []router.Received {
	n.t.Helper()
	wait(n.t, n.name+" hands out", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.out[key]) >= events
	})
	return n.handedOut(key)
}

// wantOut waits until these events were handed out, and no other, each as its publisher
// was answered. A node that follows from the beginning sees every number.
func (n *Node) wantOut(key string, want ...*event) {
	n.t.Helper()
	got := n.waitOut(key, len(want))
	if len(got) > len(want) {
		n.t.Fatalf("%s hands out %d events of %d: %.200q", n.name, len(got), len(want), got[len(want)].Text)
	}
	for i, e := range got {
		w := want[i]
		if string(e.Text) != w.text || e.Seq != w.res.Seq || e.Epoch != w.res.Epoch || e.Start != w.res.Start || e.Origin != w.Origin || e.Client || e.Lost {
			n.t.Fatalf("%s hands out, as number %d, %+v %.100q; it was answered %+v %.100q", n.name, i+1, e, e.Text, w.res, w.text)
		}
	}
}

// Receive implements router.Receiver.
func (n *Node) Receive(e router.Received) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.out[e.Key] = append(n.out[e.Key], e)
}

// done hands out what the log of a server alone has Done.
func (n *Node) done(e *event) {
	if want := router.AppendStored(nil, []byte(e.text), e.res.Seq); !bytes.Equal(e.res.Payload, want) {
		n.t.Errorf("%s is Done as %.200q, want %.200q", e.text, e.res.Payload, want)
	}
	n.Receive(router.Received{Key: e.Key, Epoch: e.res.Epoch, Start: e.res.Start, Seq: e.res.Seq, Origin: e.Origin, Text: []byte(e.text)})
}

// Stand implements router.Receiver.
func (n *Node) Stand(key string, at router.Position) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stood[key] = append(n.stood[key], at)
}

// stoodAt tells whether the node was told that a channel stands there.
func (n *Node) stoodAt(key string, at router.Position) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.stood[key], at)
}

// Present implements router.Receiver. Who comes was not there, and who goes was.
func (n *Node) Present(key string, version uint64, joined []pusher.Member, left []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.rooms[key]
	if r == nil {
		r = &room{there: map[string]bool{}, gone: map[string]time.Time{}}
		n.rooms[key] = r
	}
	if version <= r.version {
		n.t.Errorf("%s: version %d follows %d", n.name, version, r.version)
	}
	r.version = version
	for _, m := range joined {
		if r.there[m.UserID] {
			n.t.Errorf("%s: %s comes who is there", n.name, m.UserID)
		}
		r.there[m.UserID] = true
		r.changes = append(r.changes, "+"+m.UserID)
	}
	for _, id := range left {
		if !r.there[id] {
			n.t.Errorf("%s: %s goes who is not there", n.name, id)
		}
		delete(r.there, id)
		r.gone[id] = time.Now()
		r.changes = append(r.changes, "-"+id)
	}
}

// changes is who came and who went, in the order in which the node was told.
func (n *Node) changes(key string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rooms[key] == nil {
		return nil
	}
	return slices.Clone(n.rooms[key].changes)
}

// gone is when a user was said to have gone.
func (n *Node) gone(key, id string) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rooms[key].gone[id]
}

// there is who is in a presence channel by what the node was told, sorted.
func (n *Node) there(key string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rooms[key] == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(n.rooms[key].there))
}

// Told implements router.Receiver.
func (n *Node) Told(key, what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, key+" "+what)
}

// Reply implements router.Receiver.
func (n *Node) Reply(what []byte) []byte { return []byte(n.name + " " + string(what)) }

// Gone implements router.Receiver.
func (n *Node) Gone(bool) {}

// RuleOf implements router.Receiver.
func (n *Node) RuleOf(key string) router.Rule {
	n.mu.Lock()
	defer n.mu.Unlock()
	if rule, ok := n.rules[key]; ok {
		return rule
	}
	return standard
}

// CacheTTL implements router.Receiver.
func (n *Node) CacheTTL() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cacheTTL
}
