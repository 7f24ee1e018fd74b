package routertest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

var atomicitySentences = []sentence{
	{"atomicity/the events of one append are not divided", undivided},
	{"atomicity/a batch over channels has consecutive places in each", undividedInEach},
	{"atomicity/who is refused has no number and reaches nobody", refusals},
	{"atomicity/durable is refused whole or taken", durable},
	{"atomicity/a durable rule makes an event durable", durableRule},
}

// plenty is a rule that keeps all that a test publishes: a node reads back what its
// connection was too slow for.
var plenty = router.Rule{Events: 100_000, Age: time.Hour, Bytes: 1 << 30, Replay: true}

// wantUndivided fails when places of a batch's events of one channel do not follow each
// other.
func wantUndivided(t testing.TB, batch []*event) {
	t.Helper()
	next := map[string]uint64{}
	for _, e := range batch {
		if want, ok := next[e.Key]; ok && e.res.Seq != want {
			t.Fatalf("%s has number %d, the event of the same batch in front of it %d", e.text, e.res.Seq, want-1)
		}
		next[e.Key] = e.res.Seq + 1
	}
}

// longAndShort has one publisher append long batches over some channels, and others short
// ones for as long as it does: those come in the middle of a long one if anything can.
func (c *Cluster) longAndShort(keys ...string) (all [][]*event) {
	c.t.Helper()
	var mu sync.Mutex
	take := func(n *Node, size int, name string) {
		batch := make([]*event, size)
		for i := range batch {
			batch[i] = n.event(keys[i%len(keys)], say("%s %d", name, i))
		}
		if err := n.append(batch...); err != nil {
			c.t.Errorf("append: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, batch)
	}
	var over atomic.Bool
	var publishers sync.WaitGroup
	publishers.Go(func() {
		defer over.Store(true)
		for k := range 8 {
			take(c.first(), 2000, fmt.Sprintf("long %d", k))
		}
	})
	for i := range 3 {
		publishers.Go(func() {
			for k := 0; k < 300 && !over.Load(); k++ {
				take(c.node(i), 4, fmt.Sprintf("short %d-%d", i, k))
			}
		})
	}
	publishers.Wait()
	return all
}

func undivided(t *testing.T, c *Cluster) {
	c.setRule(news, plenty)
	c.follow(news)
	batches := c.longAndShort(news)
	for _, batch := range batches {
		wantUndivided(t, batch)
	}
	c.wantOut(news, inOrder(t, slices.Concat(batches...))...)
}

func undividedInEach(t *testing.T, c *Cluster) {
	c.setRule(news, plenty)
	c.setRule(other, plenty)
	c.follow(news)
	c.follow(other)
	batches := c.longAndShort(news, other)
	of := map[string][]*event{}
	for _, batch := range batches {
		wantUndivided(t, batch)
		for _, e := range batch {
			of[e.Key] = append(of[e.Key], e)
		}
	}
	for key, events := range of {
		c.wantOut(key, inOrder(t, events)...)
	}
}

// refusals are what each implementation names: a queue that is full, a Redis that is.
func refusals(t *testing.T, c *Cluster) {
	for name := range c.Refusals {
		t.Run(name, func(t *testing.T) {
			c := begin(t, c.open)
			n := c.first()
			before := map[string][]*event{}
			for _, key := range []string{news, other} {
				c.follow(key)
				before[key] = n.publish(key, say("before"))
				c.wantOut(key, before[key]...)
			}
			restore := c.Refusals[name]()

			t.Log("one event, and a batch: all of it is refused")
			for _, batch := range [][]*event{
				{n.event(news, say("alone"))},
				{n.event(news, say("one")), n.event(other, say("two")), n.event(news, say("three"))},
			} {
				err := n.append(batch...)
				for _, e := range batch {
					if (err == nil) != e.refused() || e.res.Seq != 0 {
						t.Errorf("%s: %v, %+v", e.text, err, e.res)
					}
				}
			}

			t.Log("what is taken afterwards, here or elsewhere, has the next number")
			if restore != nil {
				restore()
			} else if n = c.last(); n == c.first() {
				return
			}
			for key, events := range before {
				events = append(events, n.publish(key, say("after"))...)
				n.wantOut(key, inOrder(t, events)...)
			}
		})
	}
}

func durable(t *testing.T, c *Cluster) {
	c.follow(news)
	n := c.first()
	batch := []*event{n.event(news, say("one")), n.event(news, say("two")), n.event(news, say("three"))}
	batch[1].Durable = true
	if n.broker == nil || n.broker.KeepsDurably() {
		n.must(batch...)
		c.wantOut(news, batch...)
		return
	}
	if err := n.append(batch...); !errors.Is(err, router.ErrLogUnavailable) {
		t.Errorf("a durable event: %v", err)
	}
	c.wantOut(news, n.publish(news, say("after"))...)
	for _, e := range batch {
		if e.dones.Load() != 0 {
			t.Errorf("%s was Done of a batch that was refused", e.text)
		}
	}
}

func durableRule(t *testing.T, c *Cluster) {
	n := c.first()
	rule := standard
	rule.Durable = true
	c.setRule(news, rule)
	e := n.event(news, say("durable"))
	err := n.append(e)
	if keeps := n.broker == nil || n.broker.KeepsDurably(); keeps == (err != nil || e.refused()) {
		t.Errorf("durable events are kept: %v; %v, %+v", keeps, err, e.res)
	}
}
