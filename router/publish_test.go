package router

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestPublishToSeveralChannels(t *testing.T) {
	e := newEdge(t, 2)
	a, b := e.dial(0), e.dial(1)
	a.joined("x")
	a.joined("y")
	b.joined("y")
	e.publishNow(&Event{Name: `App\Events\Shipped`, Data: `{"id":1}`, Channels: []string{"x", "y", "empty"}})
	e.pump()
	a.wantRaw(`{"event":"App\\Events\\Shipped","channel":"x","data":"{\"id\":1}"}`)
	a.wantRaw(`{"event":"App\\Events\\Shipped","channel":"y","data":"{\"id\":1}"}`)
	b.wantRaw(`{"event":"App\\Events\\Shipped","channel":"y","data":"{\"id\":1}"}`)
}

func TestABusyLoopRefusesWholeEvents(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		fits   int
	}{
		{"by number", func(c *Config) { c.BacklogEvents = 3 }, 3},
		{"by bytes", func(c *Config) { c.BacklogBytes = 1 << 20 }, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, 2, c.change)
			a, b := e.dial(0), e.dial(1)
			a.joined("x")
			b.joined("y")
			data := strings.Repeat("d", 400<<10)
			for range c.fits {
				e.publishNow(&Event{Name: "e", Data: data, Channels: []string{"x"}})
			}
			if err := e.r.Publish(e.app, &Event{Name: "e", Data: "1", Channels: []string{"y", "x"}}); !errors.Is(err, ErrBusy) {
				t.Fatalf("publish to a busy loop: %v", err)
			}
			t.Log("channels without members there go on")
			e.publishNow(&Event{Name: "e", Data: "2", Channels: []string{"y", "empty"}})
			e.pump()
			b.wantRaw(`{"event":"e","channel":"y","data":"2"}`)
			b.wantNothing()
			for range c.fits {
				a.want("e", "x")
			}
			t.Log("and when the walks have ended it is accepted again")
			e.publish("x", "e", "3")
			a.want("e", "x")
			e.checkEmpty()
		})
	}
}

func TestAClientEventToABusyLoop(t *testing.T) {
	e := newEdge(t, 1, func(c *Config) { c.BacklogEvents = 1 })
	a, b := e.dial(0), e.dial(0)
	a.joined("private-a")
	b.joined("private-a")
	for range 2 {
		must0(t, a.say(`{"event":"client-x","channel":"private-a","data":{}}`))
	}
	e.pump()
	a.wantError(4301, "client events: the server is busy, the event was not relayed")
	b.want("client-x", "private-a")
	b.wantNothing()
}

func TestDeflateOnlyWhenSomebodyReadsIt(t *testing.T) {
	e := newEdge(t, 1)
	plain := e.dial(0)
	plain.joined("news")
	long := strings.Repeat("long ", 100)
	deflated := func(data string, ev Event) bool {
		ev.Name, ev.Data = "e", data
		return e.r.encode(e.app, &ev, "news", 0).prepared.Deflated != nil
	}
	if deflated(long, Event{}) {
		t.Error("deflated though nobody negotiated it")
	}
	up := plainUpgrade()
	up.Deflate = true
	z := e.open(0, up)
	z.established()
	if !deflated(long, Event{}) {
		t.Error("a long event is not deflated")
	}
	if deflated("short", Event{}) {
		t.Error("a short event is deflated")
	}
	if deflated(long, Event{source: sourceClient}) {
		t.Error("a client event is deflated on the loop")
	}
	z.drop()
	if deflated(long, Event{}) {
		t.Error("deflated though the last reader has gone")
	}
	e.checkEmpty()
}

func TestQueries(t *testing.T) {
	e := newEdge(t, 2)
	a, b := e.dial(0), e.dial(1)
	a.joined("news")
	b.joined("news")
	a.joinedAs("presence-a", "1")
	b.joinedAs("presence-a", "1")
	a.joinedAs("presence-b", "2")

	if got := e.r.Info(e.app, "nowhere", InfoUserCount|InfoSubscriptionCount|InfoCache); got != (ChannelInfo{}) {
		t.Errorf("an empty channel = %+v", got)
	}
	if got := e.r.Info(e.app, "news", InfoUserCount|InfoSubscriptionCount); got != (ChannelInfo{Occupied: true, SubscriptionCount: 2}) {
		t.Errorf("news = %+v", got)
	}
	if got := e.r.Info(e.app, "presence-a", InfoUserCount|InfoSubscriptionCount); got != (ChannelInfo{Occupied: true, UserCount: 1, SubscriptionCount: 2}) {
		t.Errorf("presence-a = %+v", got)
	}
	rows := e.r.Channels(e.app, "presence-", InfoUserCount)
	want := []NamedInfo{{"presence-a", ChannelInfo{Occupied: true, UserCount: 1}}, {"presence-b", ChannelInfo{Occupied: true, UserCount: 1}}}
	if !slices.Equal(rows, want) {
		t.Errorf("channels = %+v", rows)
	}
	if n := len(e.r.Channels(e.app, "", 0)); n != 3 {
		t.Errorf("%d channels in all, want 3", n)
	}
	if got := e.r.Users(e.app, "presence-a"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("users = %v", got)
	}
	for _, channel := range []string{"news", "presence-none"} {
		if got := e.r.Users(e.app, channel); len(got) != 0 {
			t.Errorf("users of %s = %v", channel, got)
		}
	}
}
