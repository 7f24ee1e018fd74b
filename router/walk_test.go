package router

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame"
)

// crowd connects n peers that are all subscribed to a channel.
func crowd(e *edge, n int, channel string) []*peer {
	e.t.Helper()
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = e.dial(i % len(e.loops))
		if err := peers[i].subscribe(channel, ""); err != nil {
			e.t.Fatal(err)
		}
	}
	e.pump()
	for _, p := range peers {
		p.want("pusher_internal:subscription_succeeded", channel)
	}
	return peers
}

func TestRemovalDuringAWalkKeepsThePartition(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			e := newEdge(t, 1)
			e.step = int64(time.Millisecond) // every look at the clock ends the slice: walks go 32 at a time
			peers := crowd(e, 1100+rng.IntN(200), "news")
			e.publishNow(&Event{Name: "e", Data: "1", Channels: []string{"news"}})
			e.publishNow(&Event{Name: "e", Data: "2", Channels: []string{"news"}})
			left := map[*peer]bool{}
			var late []*peer
			for e.loops[0].turn() {
				for range rng.IntN(40) {
					p := peers[rng.IntN(len(peers))]
					if left[p] {
						continue
					}
					left[p] = true
					if rng.IntN(2) == 0 {
						p.drop()
					} else {
						must0(t, p.unsubscribe("news"))
					}
				}
				p := e.dial(0)
				must0(t, p.subscribe("news", ""))
				late = append(late, p)
			}
			e.pump()
			for _, p := range peers {
				if left[p] {
					if len(p.got) != 0 && len(p.got) != 2 {
						t.Fatalf("one who left during the walk has a part of the batch: %d messages", len(p.got))
					}
					continue
				}
				for _, data := range []string{"1", "2"} {
					if m := p.want("e", "news"); m.text() != data {
						t.Fatalf("event %s, want %s", m.raw, data)
					}
				}
				p.wantNothing()
			}
			for _, p := range late {
				p.want("pusher_internal:subscription_succeeded", "news")
				p.wantNothing() // both events are from before it joined
			}
			if len(late) < 20 {
				t.Fatalf("the walk took %d slices only", len(late))
			}
			e.checkEmpty()
		})
	}
}

func TestWalksYieldAndTakeTurns(t *testing.T) {
	e := newEdge(t, 1)
	big := crowd(e, 1000, "big")
	small := crowd(e, 1, "small")[0]
	e.publishNow(&Event{Name: "e", Data: "x", Channels: []string{"big"}})
	e.publishNow(&Event{Name: "e", Data: "x", Channels: []string{"small"}})

	t.Log("one call of Work writes to at most 256 connections")
	l := e.loops[0]
	if !l.turn() {
		t.Fatal("Work was done in one call")
	}
	got := 0
	for _, p := range big {
		got += len(p.got)
	}
	if got != workSockets {
		t.Fatalf("the first call reached %d connections, want %d", got, workSockets)
	}

	t.Log("the small channel does not wait for the whole of the big one")
	l.turn()
	small.want("e", "small")
	e.pump()
	for _, p := range big {
		p.want("e", "big")
	}

	t.Log("a deadline that has passed still leaves progress")
	e.publishNow(&Event{Name: "e", Data: "x", Channels: []string{"big"}})
	for _, c := range l.inbox {
		l.s.Command(e.now, c.op, c.arg, c.ref)
	}
	l.inbox = nil
	if !l.s.Work(e.now, e.now-1) {
		t.Fatal("Work was done past its deadline")
	}
	got = 0
	for _, p := range big {
		got += len(p.got)
	}
	if got != clockEvery {
		t.Fatalf("a late call reached %d connections, want %d", got, clockEvery)
	}
}

func TestConsecutiveEventsAreOneBatch(t *testing.T) {
	e := newEdge(t, 1)
	p := crowd(e, 1, "news")[0]
	for i := range 10 {
		e.publishNow(&Event{Name: "e", Data: fmt.Sprint(i), Channels: []string{"news"}})
	}
	t.Log("a join ends the batch: the newcomer gets what follows it, and only that")
	q := e.dial(0)
	must0(t, q.subscribe("news", ""))
	for i := range 5 {
		e.publishNow(&Event{Name: "e", Data: fmt.Sprint(10 + i), Channels: []string{"news"}})
	}
	e.pump()
	for i := range 15 {
		if m := p.want("e", "news"); m.text() != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.raw)
		}
	}
	q.want("pusher_internal:subscription_succeeded", "news")
	for i := range 5 {
		if m := q.want("e", "news"); m.text() != fmt.Sprint(10+i) {
			t.Fatalf("message %d of the newcomer is %s", i, m.raw)
		}
	}
	if n := e.loops[0].s.stats.batches.Load(); n != 2 {
		t.Fatalf("%d walks, want 2", n)
	}

	t.Log("a batch is bounded in events and bytes")
	for range batchEvents + 1 {
		e.publishNow(&Event{Name: "e", Data: "x", Channels: []string{"news"}})
	}
	e.pump()
	if n := e.loops[0].s.stats.batches.Load(); n != 4 {
		t.Fatalf("%d walks after %d events, want 4", n, batchEvents+1)
	}
	large := string(make([]byte, batchBytes/3))
	for range 3 {
		e.publishNow(&Event{Name: "e", Data: large, Channels: []string{"news"}})
	}
	e.pump()
	if n := e.loops[0].s.stats.batches.Load(); n < 6 {
		t.Fatalf("%d walks after three large events, want more than 5", n)
	}
}

func TestExclusionInsideABatch(t *testing.T) {
	e := newEdge(t, 2)
	a, b, c := e.dial(0), e.dial(0), e.dial(1)
	for _, p := range []*peer{a, b, c} {
		p.joined("news")
	}
	gone := e.dial(0)
	goneID := gone.id
	gone.drop()
	for _, ev := range []struct{ data, except string }{
		{"1", ""}, {"2", a.id}, {"3", a.id}, {"4", b.id}, {"5", c.id}, {"6", "1.2"}, {"7", "nonsense"}, {"8", goneID},
	} {
		e.publishNow(&Event{Name: "e", Data: ev.data, Channels: []string{"news"}, Except: ev.except})
	}
	e.pump()
	for _, want := range []struct {
		p    *peer
		data string
	}{{a, "145678"}, {b, "1235678"}, {c, "1234678"}} {
		got := ""
		for _, m := range want.p.got {
			got += m.text()
		}
		if got != want.data {
			t.Errorf("peer %d got %s, want %s", want.p.slot, got, want.data)
		}
	}

	t.Log("a new connection on the slot of an excluded one is not excluded")
	a.drop()
	heir := e.loops[0].openAt(a.slot, plainUpgrade())
	heir.established()
	heir.joined("news")
	e.publishNow(&Event{Name: "e", Data: "9", Channels: []string{"news"}, Except: a.id})
	e.pump()
	heir.want("e", "news")
}

// A member of the transport that closes a slow connection tells so later; the walk
// goes on over it.
func TestAConnectionThatEndsDuringAWalk(t *testing.T) {
	e := newEdge(t, 1)
	e.step = int64(time.Millisecond)
	peers := crowd(e, 100, "news")
	e.publishNow(&Event{Name: "e", Data: "1", Channels: []string{"news"}})
	e.loops[0].turn()
	slow := frame.Slow
	peers[99].closed = &slow
	peers[0].closed = &slow
	e.loops[0].turn()
	peers[99].drop()
	peers[0].drop()
	e.pump()
	for _, p := range peers[1:99] {
		p.want("e", "news")
		p.wantNothing()
	}
	e.checkEmpty()
}
