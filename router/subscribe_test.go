package router

import (
	"fmt"
	"strings"
	"testing"
)

func TestSubscribeAnswers(t *testing.T) {
	long := strings.Repeat("n", 201)
	for _, c := range []struct {
		name string
		// say is the data of pusher:subscribe; SIG(text) in it is replaced by the
		// signature of text, ID by the socket id.
		say     string
		channel string
		refused string // the type; "" = success
		status  int
		text    string
	}{
		{name: "public", say: `{"channel":"news","auth":""}`, channel: "news"},
		{name: "public without auth", say: `{"channel":"news"}`, channel: "news"},
		{name: "every allowed character", say: `{"channel":"aZ09-_=@,.;"}`, channel: "aZ09-_=@,.;"},
		{name: "private", say: `{"channel":"private-a","auth":"SIG(ID:private-a)"}`, channel: "private-a"},
		{name: "private, channel_data is no part of it", say: `{"channel":"private-a","auth":"SIG(ID:private-a)","channel_data":"{}"}`, channel: "private-a"},
		{name: "encrypted", say: `{"channel":"private-encrypted-a","auth":"SIG(ID:private-encrypted-a)"}`, channel: "private-encrypted-a"},
		{name: "prefixes end with a dash", say: `{"channel":"privateer"}`, channel: "privateer"},
		{name: "prefixes stand in front", say: `{"channel":"my-private-x"}`, channel: "my-private-x"},
		{name: "data as a JSON string", say: `"{\"channel\":\"news\"}"`, channel: "news"},
		{name: "private without auth", say: `{"channel":"private-a"}`, channel: "private-a",
			refused: "AuthError", status: 401, text: "the channel needs a signature: auth is missing"},
		{name: "private with an empty auth", say: `{"channel":"private-a","auth":""}`, channel: "private-a",
			refused: "AuthError", status: 401, text: "the channel needs a signature: auth is missing"},
		{name: "signature for another channel", say: `{"channel":"private-a","auth":"SIG(ID:private-b)"}`, channel: "private-a",
			refused: "AuthError", status: 401, text: "signature does not match socket_id:channel"},
		{name: "signature for another socket", say: `{"channel":"private-a","auth":"SIG(9.9:private-a)"}`, channel: "private-a",
			refused: "AuthError", status: 401, text: "signature does not match socket_id:channel"},
		{name: "another key", say: `{"channel":"private-a","auth":"nobody:00"}`, channel: "private-a",
			refused: "AuthError", status: 401, text: "auth names another application key"},
		{name: "encrypted without auth", say: `{"channel":"private-encrypted-a"}`, channel: "private-encrypted-a",
			refused: "AuthError", status: 401, text: "the channel needs a signature: auth is missing"},
		{name: "presence, signature without the data", say: `{"channel":"presence-a","auth":"SIG(ID:presence-a)","channel_data":"{\"user_id\":\"7\"}"}`, channel: "presence-a",
			refused: "AuthError", status: 401, text: "signature does not match socket_id:channel:channel_data"},
		{name: "presence without channel_data and sign-in", say: `{"channel":"presence-a","auth":"SIG(ID:presence-a)"}`, channel: "presence-a",
			refused: "BadRequest", status: 400, text: "a presence channel needs channel_data, or a signed-in user"},
		{name: "presence, no JSON", say: `{"channel":"presence-a","auth":"SIG(ID:presence-a:x)","channel_data":"x"}`, channel: "presence-a",
			refused: "BadRequest", status: 400, text: "channel_data is not a JSON object"},
		{name: "presence without user_id", say: `{"channel":"presence-a","auth":"SIG(ID:presence-a:{})","channel_data":"{}"}`, channel: "presence-a",
			refused: "BadRequest", status: 400, text: "channel_data has no user_id"},
		{name: "a character outside the set", say: `{"channel":"a b"}`, channel: "a b",
			refused: "BadRequest", status: 400, text: "channel name must be letters, digits and any of -_=@,.;"},
		{name: "a number sign", say: `{"channel":"#news"}`, channel: "#news",
			refused: "BadRequest", status: 400, text: "channel name must be letters, digits and any of -_=@,.;"},
		{name: "no character at all", say: `{"channel":""}`, channel: "",
			refused: "BadRequest", status: 400, text: "channel name is empty"},
		{name: "too long", say: `{"channel":"` + long + `"}`, channel: long,
			refused: "BadRequest", status: 400, text: "channel name is 201 bytes, limit 200 (limits.channel_name_bytes)"},
		{name: "somebody's own channel", say: `{"channel":"#server-to-user-7","auth":""}`, channel: "#server-to-user-7",
			refused: "AuthError", status: 401, text: "the channel belongs to a user that is not signed in on this connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, 1)
			p := e.dial(0)
			must0(t, p.sayf(`{"event":"pusher:subscribe","data":%s}`, p.signed(c.say)))
			e.pump()
			if c.refused == "" {
				p.wantRaw(fmt.Sprintf(`{"event":"pusher_internal:subscription_succeeded","channel":%s,"data":"{}"}`, quote(c.channel)))
			} else {
				p.wantRefused(c.channel, c.refused, c.status, c.text)
				if e.r.Info(e.app, c.channel, 0).Occupied {
					t.Error("the channel is occupied after a refusal")
				}
			}
			p.wantNothing()
			e.checkEmpty()
		})
	}
}

// signed replaces ID and SIG(text).
func (p *peer) signed(text string) string {
	text = strings.ReplaceAll(text, "ID", p.id)
	for {
		i := strings.Index(text, "SIG(")
		if i < 0 {
			return text
		}
		end := i + strings.Index(text[i:], ")")
		text = text[:i] + sign(text[i+4:end]) + text[end+1:]
	}
}

func TestMessagesThatCannotBeUnderstood(t *testing.T) {
	for _, c := range []struct{ name, say string }{
		{"no JSON", `hello`},
		{"empty", ``},
		{"half an object", `{"event":"pusher:ping"`},
		{"an array", `[]`},
		{"no event", `{"data":{}}`},
		{"event is a number", `{"event":7}`},
		{"an unknown pusher: event", `{"event":"pusher:dance","data":{}}`},
		{"an event of the protocol's inner name space", `{"event":"pusher_internal:member_added","channel":"presence-a","data":"{}"}`},
		{"subscribe without data", `{"event":"pusher:subscribe"}`},
		{"subscribe without a channel", `{"event":"pusher:subscribe","data":{}}`},
		{"subscribe to null", `{"event":"pusher:subscribe","data":{"channel":null}}`},
		{"subscribe to a number", `{"event":"pusher:subscribe","data":{"channel":7}}`},
		{"unsubscribe without a channel", `{"event":"pusher:unsubscribe","data":{}}`},
		{"sign-in without data", `{"event":"pusher:signin"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, 1)
			p := e.dial(0)
			must0(t, p.say(c.say))
			p.wantError(4200, "Invalid message format")
			t.Log("the connection stays and works")
			p.joined("news")
			if p.closed != nil {
				t.Fatalf("closed: %v", p.closed)
			}
		})
	}
}

func TestPingAndPong(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	for _, say := range []string{`{"event":"pusher:ping","data":{}}`, `{"event":"pusher:ping"}`, `{"event":"pusher:ping","data":"{}"}`} {
		must0(t, p.say(say))
		p.wantRaw(`{"event":"pusher:pong","data":{}}`)
	}
	must0(t, p.say(`{"event":"pusher:pong","data":{}}`))
	p.wantNothing()
	e.loops[0].s.Ping(p.slot)
	p.wantRaw(`{"event":"pusher:ping","data":{}}`)
}

func TestSubscribingTwiceIsAnsweredTwiceAndCountsOnce(t *testing.T) {
	e := newEdge(t, 1)
	p, other := e.dial(0), e.dial(0)
	other.joined("private-a")
	p.joined("private-a")
	p.joined("private-a")
	t.Log("the signature is verified again")
	must0(t, p.say(`{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"app-key:00"}}`))
	e.pump()
	p.wantRefused("private-a", "AuthError", 401, "signature does not match socket_id:channel")

	t.Log("both before the first was answered")
	must0(t, p.subscribe("news", ""))
	must0(t, p.subscribe("news", ""))
	e.pump()
	p.want("pusher_internal:subscription_succeeded", "news")
	p.want("pusher_internal:subscription_succeeded", "news")

	if n := e.r.Info(e.app, "private-a", InfoSubscriptionCount).SubscriptionCount; n != 2 {
		t.Errorf("%d subscriptions, want 2", n)
	}
	e.publish("private-a", "e", "x")
	p.want("e", "private-a")
	p.wantNothing()
	t.Log("one unsubscribe ends it")
	must0(t, p.unsubscribe("private-a"))
	e.publish("private-a", "e", "x")
	p.wantNothing()
	e.checkEmpty()
}

func TestUnsubscribe(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	p.joined("news")
	t.Log("of what one is not subscribed to: no answer, no harm")
	for _, channel := range []string{"sport", "", "private-x", "# !"} {
		if channel != "" {
			must0(t, p.unsubscribe(channel))
		}
	}
	must0(t, p.unsubscribe("news"))
	must0(t, p.unsubscribe("news"))
	p.wantNothing()
	if e.r.Info(e.app, "news", 0).Occupied {
		t.Error("the channel is still occupied")
	}
	t.Log("before its success: then there is none")
	must0(t, p.subscribe("news", ""))
	must0(t, p.unsubscribe("news"))
	e.pump()
	p.wantNothing()
	t.Log("the answer to a repeated subscribe is dropped with the subscription")
	p.joined("news")
	must0(t, p.subscribe("news", ""))
	must0(t, p.unsubscribe("news"))
	e.pump()
	p.wantNothing()
	e.checkEmpty()
}

func TestSubscriptionsAreBounded(t *testing.T) {
	e := newEdge(t, 1, withLimits(func(l *Limits) { l.Subscriptions = 2 }))
	p := e.dial(0)
	p.joined("a")
	p.joined("b")
	must0(t, p.subscribe("c", ""))
	e.pump()
	p.wantRefused("c", "LimitReached", 403, "subscriptions: 3, limit 2 (limits.subscriptions)")
	t.Log("a repeated one is none more; one that ends makes room")
	p.joined("a")
	must0(t, p.unsubscribe("a"))
	p.joined("c")
	e.checkEmpty()
}

// The last member leaves while events for it are on the way, and the channel's
// number is used again by another one: that one must not see them.
func TestEventsOnTheWayToAnEmptiedChannel(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	p.joined("old")
	e.publishNow(&Event{Name: "e", Data: "for old", Channels: []string{"old"}})
	must0(t, p.unsubscribe("old"))
	must0(t, p.subscribe("new", ""))
	must0(t, p.subscribe("old", ""))
	e.publishNow(&Event{Name: "e", Data: "for both", Channels: []string{"old", "new"}})
	e.pump()
	for _, channel := range []string{"new", "old"} {
		p.want("pusher_internal:subscription_succeeded", channel)
	}
	for range 2 {
		if m := p.got[0]; m.text() != "for both" {
			t.Fatalf("message = %s", m.raw)
		}
		p.got = p.got[1:]
	}
	p.wantNothing()
	e.checkEmpty()
}
