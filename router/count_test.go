package router

import (
	"fmt"
	"testing"
	"time"
)

func counting(a *AppConfig) { a.SubscriptionCount = true }

func countText(channel string, n int) string {
	return fmt.Sprintf(`{"event":"pusher_internal:subscription_count","channel":%s,"data":%s}`, quote(channel), quote(fmt.Sprintf(`{"subscription_count":%d}`, n)))
}

func TestSubscriptionCount(t *testing.T) {
	e := newEdge(t, 2, withApp(counting))
	a, b := e.dial(0), e.dial(1)
	a.joined("news")
	a.wantRaw(countText("news", 1))
	b.joined("news")
	b.wantRaw(countText("news", 2))
	a.wantRaw(countText("news", 2))
	b.drop()
	e.pump()
	a.wantRaw(countText("news", 1))
	t.Log("a repeated subscribe changes nothing; nor does the last leave tell anybody")
	a.joined("news")
	must0(t, a.unsubscribe("news"))
	e.pump()
	a.wantNothing()
	t.Log("never on presence channels")
	a.joinedAs("presence-a", "1")
	a.wantNothing()
	e.checkEmpty()
}

func TestSubscriptionCountIsOptIn(t *testing.T) {
	e := newEdge(t, 1)
	a := e.dial(0)
	a.joined("news")
	a.wantNothing()
}

func TestALargeChannelsCountIsToldEveryFiveSeconds(t *testing.T) {
	e := newEdge(t, 2, withApp(counting))
	first := e.dial(0)
	first.joined("news")
	crowded := make([]*peer, 0, 150)
	for i := range 110 {
		p := e.dial(i % 2)
		must0(t, p.subscribe("news", ""))
		crowded = append(crowded, p)
	}
	e.pump()
	for n := 1; n <= 100; n++ {
		first.wantRaw(countText("news", n))
	}
	t.Log("above 100, changes within 5 s are told later, together")
	first.wantNothing()
	e.tick(4 * time.Second)
	first.wantNothing()
	e.tick(time.Second)
	first.wantRaw(countText("news", 111))
	first.wantNothing()
	t.Log("no change, no news")
	e.tick(6 * time.Second)
	first.wantNothing()
	t.Log("after a quiet time a change is told at once")
	crowded[0].drop()
	e.pump()
	first.wantRaw(countText("news", 110))
	crowded[1].drop()
	p := e.dial(0)
	must0(t, p.subscribe("news", ""))
	e.tick(5 * time.Second)
	t.Log("a change that was undone is no change")
	first.wantNothing()
	for _, p := range crowded[2:30] {
		p.drop()
	}
	e.pump()
	first.wantRaw(countText("news", 109)) // the first is told at once, the next wait
	first.got = nil
	e.tick(5 * time.Second)
	t.Log("a channel that empties while its count waits is forgotten")
	e.checkEmpty()
	e.tick(6 * time.Second)
	for _, l := range e.loops {
		if len(l.s.counts) != 0 {
			t.Errorf("loop %d keeps %d channels", l.id, len(l.s.counts))
		}
	}
}
