package router

import (
	"fmt"
	"testing"
	"time"
)

func TestCacheChannels(t *testing.T) {
	for _, channel := range []string{"cache-x", "private-cache-x", "private-encrypted-cache-x"} {
		t.Run(channel, func(t *testing.T) {
			e := newEdge(t, 2)
			miss := fmt.Sprintf(`{"event":"pusher:cache_miss","channel":"%s"}`, channel)
			event := `{"event":"price","channel":"` + channel + `","data":"%s"}`
			cached := `{"event":"price","channel":"` + channel + `","data":"%s","cached":true}`

			t.Log("nothing yet: success, then a miss")
			a, b := e.dial(0), e.dial(1)
			a.joined(channel)
			a.wantRaw(miss)

			t.Log("the last event, after success and before what follows")
			e.publish(channel, "price", "1")
			e.publishNow(&Event{Name: "price", Data: "2", Channels: []string{channel}})
			must0(t, b.subscribe(channel, ""))
			e.publishNow(&Event{Name: "price", Data: "3", Channels: []string{channel}})
			e.pump()
			b.want("pusher_internal:subscription_succeeded", channel)
			b.wantRaw(fmt.Sprintf(cached, "2"))
			b.wantRaw(fmt.Sprintf(event, "3"))
			for _, data := range []string{"1", "2", "3"} {
				a.wantRaw(fmt.Sprintf(event, data))
			}

			t.Log("it outlives the subscribers, and events without any are kept too")
			a.drop()
			b.drop()
			e.pump()
			e.publish(channel, "price", "4")
			if e.r.Info(e.app, channel, 0).Occupied {
				t.Fatal("a cached event occupies the channel")
			}
			info := e.r.Info(e.app, channel, InfoCache)
			if info.Cache == nil || info.Cache.Data != "4" || info.Cache.TTL != 30*time.Minute {
				t.Fatalf("cache info = %+v", info.Cache)
			}
			c := e.dial(0)
			c.joined(channel)
			c.wantRaw(fmt.Sprintf(cached, "4"))

			t.Log("a repeated subscribe is answered like the first")
			c.joined(channel)
			c.wantRaw(fmt.Sprintf(cached, "4"))

			t.Log("what the protocol says is not cached")
			e.publish(channel, "pusher_internal:x", "5")
			e.publish(channel, "pusher:x", "5")
			c.got = nil
			d := e.dial(0)
			d.joined(channel)
			d.wantRaw(fmt.Sprintf(cached, "4"))

			t.Log("it expires")
			e.advance(30 * time.Minute)
			if e.r.Info(e.app, channel, InfoCache).Cache != nil {
				t.Fatal("an expired event is reported")
			}
			f := e.dial(1)
			f.joined(channel)
			f.wantRaw(miss)
			e.checkEmpty()
		})
	}
}

func TestAClientEventIsNotCached(t *testing.T) {
	e := newEdge(t, 1)
	a, b := e.dial(0), e.dial(0)
	a.joined("private-cache-x")
	b.joined("private-cache-x")
	must0(t, a.say(`{"event":"client-e","channel":"private-cache-x","data":{}}`))
	e.pump()
	b.want("pusher:cache_miss", "private-cache-x")
	b.want("client-e", "private-cache-x")
	c := e.dial(0)
	c.joined("private-cache-x")
	c.want("pusher:cache_miss", "private-cache-x")
}

func TestPresenceChangesAreNotCached(t *testing.T) {
	e := newEdge(t, 1)
	a, b := e.dial(0), e.dial(0)
	a.joinedAs("presence-cache-x", "1")
	a.want("pusher:cache_miss", "presence-cache-x")
	b.joinedAs("presence-cache-x", "2")
	b.want("pusher:cache_miss", "presence-cache-x")
	e.publish("presence-cache-x", "e", "1")
	b.drop()
	e.pump()
	c := e.dial(0)
	c.joinedAs("presence-cache-x", "3")
	if m := c.want("e", "presence-cache-x"); !m.Cached || m.text() != "1" {
		t.Fatalf("cached event = %s", m.raw)
	}
}

func TestCachedEventsAreDroppedThoughNobodyAsks(t *testing.T) {
	e := newEdge(t, 2, withLimits(func(l *Limits) { l.CacheTTL = 10 * time.Second }))
	kept := func() (n int) {
		for i := range e.app.dir.shards {
			n += len(e.app.dir.shards[i].cache.events)
			if int(e.app.dir.shards[i].cache.size.Load()) != len(e.app.dir.shards[i].cache.events) {
				t.Fatal("the size is off")
			}
		}
		return n
	}
	for i := range 1000 {
		e.publish(fmt.Sprintf("cache-%d", i), "e", "x")
		e.publish(fmt.Sprintf("cache-%d", i), "e", "y") // replaces, does not add
	}
	if n := kept(); n != 1000 {
		t.Fatalf("%d events are kept, want 1000", n)
	}
	e.tick(6 * time.Second)
	for i := range 10 {
		e.publish(fmt.Sprintf("cache-%d", i), "e", "z")
	}
	e.tick(5 * time.Second)
	if n := kept(); n != 10 {
		t.Fatalf("%d events are kept, want the 10 renewed ones", n)
	}
	e.tick(5 * time.Second)
	if n := kept(); n != 0 {
		t.Fatalf("%d events are kept, want none", n)
	}
}
