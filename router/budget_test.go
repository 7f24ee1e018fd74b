//go:build !invariants && !race

// Checks and race detection have a memory of their own; budgets hold without.

package router

import "testing"

// TestAllocations: what the paths allocate that every client and every publish takes,
// once they are warm.
func TestAllocations(t *testing.T) {
	plain, kept := newSubscriber(t, 1, false), newSubscriber(t, 1, true)
	logged := newEdge(t, 1, func(c *Config) { c.Log = &promptLog{memLog: newMemLog()} })
	for _, c := range []struct {
		what   string
		run    func()
		budget float64
		of     string
	}{
		{"a private subscribe and unsubscribe", plain.once, 2, "the channel and its name"},
		// The log's key is made to ask it, and again under the lock.
		{"the same on a channel with history", kept.once, 5, "two keys and a welcome more"},
		{"a publish through the log", publishing(logged), 1, "the key"},
		{"a publish that nobody hears, without a log", publishing(newEdge(t, 1)), 0, ""},
	} {
		c.run()
		if n := testing.AllocsPerRun(200, c.run); n > c.budget {
			t.Errorf("%s allocates %v times, budget %v: %s", c.what, n, c.budget, c.of)
		}
	}
}

// publishing publishes one event again and again.
func publishing(e *edge) func() {
	ev := &Event{Name: "App\\Events\\OrderShipped", Data: `{"id":4711}`, Channels: []string{"private-orders.4711"}}
	events := []*Event{ev}
	return func() {
		if err := e.r.PublishAll(e.app, events); err != nil {
			e.t.Fatal(err)
		}
		if len(ev.Receipts) == 1 && ev.Receipts[0].Seq == 0 {
			e.t.Fatal("the event has no number")
		}
	}
}

// promptLog gives every event its place at once and keeps nothing.
type promptLog struct {
	*memLog
	seq  uint64
	room []byte
}

func (l *promptLog) Append(batch []LogAppend) error {
	for i := range batch {
		l.seq++
		l.room = batch[i].Item.AppendPayload(l.room[:0], "k3f9", l.seq)
		batch[i].Item.Done(LogResult{Epoch: "k3f9", Seq: l.seq, Payload: l.room, Logged: true})
	}
	return nil
}

// TestABroadcastAllocatesNothingPerMember: a member and a frame of a batch cost no
// allocation, whatever their number.
func TestABroadcastAllocatesNothingPerMember(t *testing.T) {
	broadcast := func(members, frames int) float64 {
		e := newEdge(t, 1)
		crowd(e, members, "news")
		l := e.loops[0]
		l.quiet = true
		ev := &Event{Name: "e", Data: "x", Channels: []string{"news"}}
		n := testing.AllocsPerRun(50, func() {
			for range frames {
				e.publishNow(ev)
			}
			e.pump()
		})
		if l.count != 51*members {
			t.Fatalf("%d deliveries to %d members, want %d", l.count, members, 51*members)
		}
		return n
	}
	if few, many := broadcast(50, 1), broadcast(3000, 1); many > few+0.5 {
		t.Errorf("a publish to 3,000 members allocates %v times, to 50 %v times", many, few)
	}
	if few, many := broadcast(50, 8), broadcast(3000, 8); many > few+0.5 {
		t.Errorf("eight publishes at once to 3,000 members allocate %v times, to 50 %v times", many, few)
	}
}
