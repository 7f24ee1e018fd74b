package routertest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

// Channels of one application.
var (
	news  = router.LogKey("app", "news")
	other = router.LogKey("app", "other")
)

// event is one that a node publishes, and what becomes of it. Its fields are changed
// before it is appended only.
type event struct {
	router.LogAppend

	node  *Node
	text  string // the message up to its number
	ended chan struct{}

	dones atomic.Int32
	res   router.LogResult // written by Done, read when ended is closed
}

// event is a new one, under the rule of its channel.
func (n *Node) event(key, text string) *event {
	e := &event{node: n, text: text, ended: make(chan struct{})}
	e.LogAppend = router.LogAppend{Key: key, Rule: n.RuleOf(key), Bytes: len(text), Item: e}
	return e
}

// AppendPayload implements router.LogItem.
func (e *event) AppendPayload(dst []byte, _ string, seq uint64) []byte {
	return router.AppendStored(dst, []byte(e.text), seq)
}

// Done implements router.LogItem.
func (e *event) Done(res router.LogResult) {
	if e.dones.Add(1) > 1 {
		e.node.t.Errorf("%s is Done twice", e.text)
		return
	}
	e.res = res
	if e.node.broker == nil && res.Err == nil && !res.Duplicate {
		e.node.done(e)
	}
	close(e.ended)
}

// refused tells whether the log said why the event has no place.
func (e *event) refused() bool { return e.dones.Load() == 1 && e.res.Err != nil }

// append appends a batch and waits until all of it is Done.
func (n *Node) append(events ...*event) error {
	n.t.Helper()
	batch := make([]router.LogAppend, len(events))
	for i, e := range events {
		batch[i] = e.LogAppend
	}
	if err := n.log.Append(batch); err != nil {
		return err
	}
	clear(batch) // it is the caller's again
	return waitDone(events)
}

func waitDone(events []*event) error {
	end := time.After(patience)
	for _, e := range events {
		select {
		case <-e.ended:
		case <-end:
			return fmt.Errorf("%s is not Done after %s", e.text, patience)
		}
	}
	return nil
}

// must appends a batch that has to be taken.
func (n *Node) must(events ...*event) {
	n.t.Helper()
	if err := n.append(events...); err != nil {
		n.t.Fatalf("append: %v", err)
	}
	for _, e := range events {
		if e.res.Err != nil || !e.res.Logged && e.Rule.Events > 0 {
			n.t.Fatalf("%s: %+v", e.text, e.res)
		}
	}
}

// publish appends a batch of one channel.
func (n *Node) publish(key string, texts ...string) []*event {
	n.t.Helper()
	events := make([]*event, len(texts))
	for i, text := range texts {
		events[i] = n.event(key, text)
	}
	n.must(events...)
	return events
}

// say is the text of an event that says something.
func say(format string, args ...any) string {
	return `{"event":"e","channel":"news","data":"` + fmt.Sprintf(format, args...) + `"`
}

// says is so many texts.
func says(what string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = say("%s %d", what, i+1)
	}
	return texts
}

// atOnce has six publishers, spread over the nodes, append single events at the same time.
func (c *Cluster) atOnce(key string, each int) (all []*event) {
	c.t.Helper()
	const publishers = 6
	all = make([]*event, publishers*each)
	var done sync.WaitGroup
	for i := range publishers {
		done.Go(func() {
			n := c.node(i)
			for k := i * each; k < (i+1)*each; k++ {
				all[k] = n.event(key, say("%d", k))
				if err := n.append(all[k]); err != nil {
					c.t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	done.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
	return all
}

// inOrder is all events by their numbers, which have to be 1 and on.
func inOrder(t testing.TB, events []*event) []*event {
	t.Helper()
	sorted := slices.SortedFunc(slices.Values(events), func(a, b *event) int { return int(a.res.Seq) - int(b.res.Seq) })
	for i, e := range sorted {
		if e.res.Seq != uint64(i+1) || e.res.Epoch != sorted[0].res.Epoch {
			t.Fatalf("event %d of %d was answered %+v", i+1, len(sorted), e.res)
		}
	}
	return sorted
}
