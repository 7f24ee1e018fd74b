package routertest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/holdfast-edge/holdfast/router"
)

var orderSentences = []sentence{
	{"order/every node hands out the same without holes", oneOrder},
	{"order/what was answered is what is handed out", answersAreTrue},
	{"order/one publisher's events keep its order", publisherOrder},
	{"order/who comes later misses nothing after its head", lateFollower},
}

func oneOrder(t *testing.T, c *Cluster) {
	c.follow(news)
	events := len(c.atOnce(news, 60))
	first := c.first().waitOut(news, events)
	for i, e := range first {
		if e.Seq != uint64(i+1) || e.Epoch != first[0].Epoch || e.Epoch == "" || e.Lost {
			t.Fatalf("as number %d of %d comes %+v", i+1, events, e)
		}
	}
	for _, n := range c.Nodes[1:] {
		if !slices.EqualFunc(n.waitOut(news, events), first, func(a, b router.Received) bool {
			return a.Seq == b.Seq && a.Epoch == b.Epoch && string(a.Text) == string(b.Text)
		}) {
			t.Errorf("%s has another order than %s", n.name, c.first().name)
		}
	}
}

func answersAreTrue(t *testing.T, c *Cluster) {
	c.follow(news)
	c.wantOut(news, inOrder(t, c.atOnce(news, 60))...)
}

// publisherOrder: Append queues, so the second is called before the first is Done.
func publisherOrder(t *testing.T, c *Cluster) {
	c.follow(news)
	events := make([]*event, 60)
	for i := range events {
		events[i] = c.first().event(news, say("%d", i+1))
		if err := c.first().log.Append([]router.LogAppend{events[i].LogAppend}); err != nil {
			t.Fatal(err)
		}
	}
	if err := waitDone(events); err != nil {
		t.Fatal(err)
	}
	c.wantOut(news, events...)
}

func lateFollower(t *testing.T, c *Cluster) {
	const before, after = 30, 100
	c.first().follow(news)
	var publisher sync.WaitGroup
	half := make(chan struct{})
	publisher.Go(func() {
		for i := range before + after {
			if i == before {
				close(half)
			}
			if err := c.first().append(c.first().event(news, say("%d", i+1))); err != nil {
				t.Error(err)
			}
		}
	})
	<-half
	at := c.last().follow(news)
	publisher.Wait()
	if at.Seq < before && c.last() != c.first() {
		t.Errorf("who begins to follow after %d events stands at %+v", before, at)
	}
	next := at.Seq + 1
	wait(t, fmt.Sprintf("%d comes", before+after), func() bool { return c.last().head(news).Seq == before+after })
	wait(t, "the last event", func() bool {
		got := c.last().handedOut(news)
		return at.Seq == before+after || len(got) > 0 && got[len(got)-1].Seq == before+after
	})
	for _, e := range c.last().handedOut(news) {
		if e.Seq < next {
			continue // a member of the channel has it behind it
		}
		if e.Seq != next || e.Epoch != at.Epoch || string(e.Text) != say("%d", e.Seq) {
			t.Fatalf("%+v %s comes, and %d is next", e, e.Text, next)
		}
		next++
	}
}
