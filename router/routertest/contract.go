package routertest

import (
	"testing"
	"time"
)

// Cluster is some nodes that share a log, which nobody else uses. One goroutine, unless
// a method says otherwise.
type Cluster struct {
	// Nodes are one at least.
	Nodes []*Node
	// Now is the clock of the log, and Pass returns when so much time has gone by on it.
	Now  func() time.Time
	Pass func(time.Duration)
	// Reload tells the nodes that rules have changed. nil = a rule comes with each event.
	Reload func()
	// Refusals bring about states in which the first node refuses every event of channels
	// that have some, by name; restore ends the state, nil = it lasts. One cluster gets one.
	Refusals map[string]func() (restore func())
	// Renew ends the epochs of all channels: who can say that nothing was lost is gone. It
	// returns when events are taken again. nil = that takes too long here.
	Renew func()

	t    *testing.T
	open func(*testing.T) *Cluster
}

// sentence is one of the contract, and the test that it holds.
type sentence struct {
	says  string
	holds func(*testing.T, *Cluster)
}

// Log tests a log. open is called for each sentence, and for more than one at a time.
func Log(t *testing.T, open func(*testing.T) *Cluster) {
	run(t, open, orderSentences, atomicitySentences, numberSentences, recoverSentences, historySentences, lastSentences, keySentences)
}

// Broker tests a broker: as a log, and as the way between nodes.
func Broker(t *testing.T, open func(*testing.T) *Cluster) {
	Log(t, open)
	run(t, open, followSentences, presenceSentences)
}

func run(t *testing.T, open func(*testing.T) *Cluster, parts ...[]sentence) {
	for _, part := range parts {
		for _, s := range part {
			t.Run(s.says, func(t *testing.T) {
				t.Parallel()
				s.holds(t, begin(t, open))
			})
		}
	}
}

func begin(t *testing.T, open func(*testing.T) *Cluster) *Cluster {
	t.Helper()
	c := open(t)
	c.t, c.open = t, open
	return c
}

// first is the node that publishes where one is enough, and last the one that is looked
// at: another one, if there are several.
func (c *Cluster) first() *Node { return c.Nodes[0] }
func (c *Cluster) last() *Node  { return c.Nodes[len(c.Nodes)-1] }

// node is the i-th of the nodes, over and over.
func (c *Cluster) node(i int) *Node { return c.Nodes[i%len(c.Nodes)] }

// follow has every node follow a channel.
func (c *Cluster) follow(key string) {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.follow(key)
	}
}

// wantOut waits until every node has handed out these events of a channel.
func (c *Cluster) wantOut(key string, want ...*event) {
	c.t.Helper()
	for _, n := range c.Nodes {
		n.wantOut(key, want...)
	}
}

// wait is for what another goroutine brings about.
func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not come in %s", what, patience)
		}
	}
}

// patience is far above what anything takes.
const patience = 20 * time.Second
