package routertest

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

var lastSentences = []sentence{
	{"last/a cache channel has its last event", lastEvent},
	{"last/without history as well", lastWithoutHistory},
	{"last/after its time it is gone", lastIsGone},
	{"last/no other channel has one", noLast},
	{"last/each event of a batch says for itself whether it is the last", lastOfBatch},
}

var cached = router.LogKey("app", "cache-news")

// cacheFor sets how long last events live.
func (c *Cluster) cacheFor(d time.Duration) {
	for _, n := range c.Nodes {
		n.mu.Lock()
		n.cacheTTL = d
		n.mu.Unlock()
	}
}

// publishLast publishes an event that becomes the channel's last one.
func (n *Node) publishLast(key, text string) *event {
	n.t.Helper()
	e := n.event(key, text)
	e.Cache = n.CacheTTL()
	n.must(e)
	return e
}

// wantLast waits until a channel's last event is this one.
func (n *Node) wantLast(key string, want *event) {
	n.t.Helper()
	wait(n.t, n.name+" has the last event", func() bool {
		e, left, ok := n.log.Last(key)
		if ok && (left <= 0 || left > n.CacheTTL()) {
			n.t.Fatalf("%s: the last event lives for %s more, of %s", n.name, left, n.CacheTTL())
		}
		return ok && e.Seq == want.res.Seq && bytes.Equal(e.Payload, frames(want))
	})
}

func lastEvent(t *testing.T, c *Cluster) {
	c.first().follow(cached)
	if e, _, ok := c.first().log.Last(cached); ok {
		t.Errorf("before there was one: %+v", e)
	}
	e := c.first().publishLast(cached, say("one"))
	for _, n := range c.Nodes {
		n.follow(cached) // all but the first only now
		n.wantLast(cached, e)
	}
	c.first().publishLast(cached, say("two"))
	three := c.last().publishLast(cached, say("three"))
	for _, n := range c.Nodes {
		n.wantLast(cached, three)
	}

	t.Log("an event that is none of the cache does not take its place")
	passing := c.first().publish(cached, say("passing"))[0]
	for _, n := range c.Nodes {
		wait(t, "the passing event", func() bool {
			got := n.handedOut(cached)
			return len(got) > 0 && got[len(got)-1].Seq == passing.res.Seq
		})
		n.wantLast(cached, three)
	}
}

func lastWithoutHistory(t *testing.T, c *Cluster) {
	c.setRule(cached, router.Rule{})
	c.follow(cached)
	c.first().publishLast(cached, say("one"))
	two := c.first().publishLast(cached, say("two"))
	if two.res.Seq != 0 || two.res.Epoch != "" {
		t.Errorf("%+v", two.res)
	}
	for _, n := range c.Nodes {
		n.wantLast(cached, two)
	}
}

func lastIsGone(t *testing.T, c *Cluster) {
	const lives = time.Second
	c.cacheFor(lives)
	c.first().follow(cached)
	began := c.Now()
	c.first().publishLast(cached, say("one"))
	c.first().waitOut(cached, 1)
	if _, left, ok := c.first().log.Last(cached); c.Now().Sub(began) < lives && (!ok || left > lives) {
		t.Errorf("at first: %s left, %v", left, ok)
	}
	c.Pass(lives)
	for _, n := range c.Nodes {
		if at := n.follow(cached); at.Seq != 1 {
			t.Errorf("%s stands at %+v: only the cache forgets", n.name, at)
		}
		if e, left, ok := n.log.Last(cached); ok {
			t.Errorf("%s has %+v for %s more", n.name, e, left)
		}
	}
	two := c.last().publishLast(cached, say("two"))
	c.last().wantLast(cached, two)
}

func noLast(t *testing.T, c *Cluster) {
	c.follow(news)
	c.wantOut(news, c.first().publish(news, say("one"))...)
	for _, n := range c.Nodes {
		if e, _, ok := n.log.Last(news); ok {
			t.Errorf("%s: %+v", n.name, e)
		}
	}
}

func lastOfBatch(t *testing.T, c *Cluster) {
	for name, last := range map[string]int{"cache-first": 0, "cache-second": 1} {
		key := router.LogKey("app", name)
		n := c.first()
		batch := []*event{n.event(key, say("one")), n.event(key, say("two"))}
		batch[last].Cache = n.CacheTTL()
		n.must(batch...)
		for _, n := range c.Nodes {
			n.follow(key)
			if e, _, ok := n.log.Last(key); !ok || e.Seq != batch[last].res.Seq {
				t.Errorf("%s, %s: %v, %+v", name, n.name, ok, e)
			}
		}
	}
}
