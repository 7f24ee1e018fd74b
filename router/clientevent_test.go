package router

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestClientEventsAreRelayed(t *testing.T) {
	for _, c := range []struct{ name, channel, data, relayed string }{
		{"an object", "private-a", `,"data":{"x": 1}`, `"{\"x\": 1}"`},
		{"a string", "private-a", `,"data":"a\"b\u00e9"`, `"a\"bé"`},
		{"a number", "private-a", `,"data":7`, `"7"`},
		{"null", "private-a", `,"data":null`, `"null"`},
		{"no data", "private-a", ``, `"null"`},
		{"encrypted", "private-encrypted-a", `,"data":{}`, `"{}"`},
		{"presence: with the user", "presence-a", `,"data":{}`, `"{}","user_id":"7"`},
		{"presence: what the client says of itself is ignored", "presence-a", `,"data":{},"user_id":"9"`, `"{}","user_id":"7"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, 2)
			a, b, far := e.dial(0), e.dial(0), e.dial(1)
			for i, p := range []*peer{a, b, far} {
				if presenceName(c.channel) {
					must0(t, p.present(c.channel, fmt.Sprint(7+i)))
				} else {
					must0(t, p.subscribe(c.channel, ""))
				}
			}
			e.pump()
			a.got, b.got, far.got = nil, nil, nil
			must0(t, a.sayf(`{"event":"client-typing","channel":%s%s}`, quote(c.channel), c.data))
			e.pump()
			want := fmt.Sprintf(`{"event":"client-typing","channel":%s,"data":%s}`, quote(c.channel), c.relayed)
			b.wantRaw(want)
			far.wantRaw(want)
			t.Log("the sender does not get it")
			a.wantNothing()
			e.checkEmpty()
		})
	}
}

func TestClientEventsThatAreNotRelayed(t *testing.T) {
	const prefix = "client events: "
	for _, c := range []struct {
		name, say, text string
		option          option
	}{
		{name: "off", say: `{"event":"client-x","channel":"private-a","data":{}}`,
			text: "they are off for this application (apps.client_events)", option: withApp(func(a *AppConfig) { a.ClientEvents = false })},
		{name: "public channel", say: `{"event":"client-x","channel":"news","data":{}}`, text: "the channel is neither private nor presence"},
		{name: "no channel", say: `{"event":"client-x","data":{}}`, text: "the channel is neither private nor presence"},
		{name: "a user's own channel", say: `{"event":"client-x","channel":"#server-to-user-7","data":{}}`, text: "the channel is neither private nor presence"},
		{name: "not subscribed", say: `{"event":"client-x","channel":"private-b","data":{}}`, text: "the connection is not subscribed to the channel"},
		{name: "another prefix", say: `{"event":"x","channel":"private-a","data":{}}`, text: "a name begins with client-"},
		{name: "long name", say: `{"event":"client-` + strings.Repeat("x", 200) + `","channel":"private-a","data":{}}`,
			text: "the name is 207 bytes, limit 200 (limits.event_name_bytes)"},
		{name: "much data", say: `{"event":"client-x","channel":"private-a","data":"` + strings.Repeat("x", 1025) + `"}`,
			text: "the data is 1025 bytes, limit 1024 (limits.event_data_bytes)", option: withLimits(func(l *Limits) { l.EventDataBytes = 1024 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			var opts []option
			if c.option != nil {
				opts = append(opts, c.option)
			}
			e := newEdge(t, 1, opts...)
			a, b := e.dial(0), e.dial(0)
			for _, p := range []*peer{a, b} {
				p.joined("private-a")
				p.joined("news")
			}
			b.joined("private-b")
			must0(t, a.say(c.say))
			e.pump()
			a.wantError(4301, prefix+c.text)
			a.wantNothing()
			b.wantNothing()
			if a.closed != nil {
				t.Fatalf("closed: %v", a.closed)
			}
		})
	}
}

func TestClientEventsPerSecond(t *testing.T) {
	e := newEdge(t, 1)
	a, b := e.dial(0), e.dial(0)
	a.joined("private-a")
	b.joined("private-a")
	send := func(n int) {
		for range n {
			must0(t, a.say(`{"event":"client-x","channel":"private-a","data":{}}`))
		}
		e.pump()
	}
	send(12)
	for range 10 {
		b.want("client-x", "private-a")
	}
	b.wantNothing()
	for range 2 {
		a.wantError(4301, "client events: 11 in 1 s, limit 10 (limits.client_events_per_second)")
	}
	t.Log("half a second later five more may pass")
	e.advance(500 * time.Millisecond)
	send(6)
	for range 5 {
		b.want("client-x", "private-a")
	}
	b.wantNothing()
	a.want("pusher:error", "")
	a.wantNothing()
}
