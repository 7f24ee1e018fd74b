package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/frame"
)

func TestSignIn(t *testing.T) {
	e := newEdge(t, 1)
	p := e.dial(0)
	data := `{"id":"u1","user_info":{"n":"Ann"}}`
	must0(t, p.signin(data))
	inner := fmt.Sprintf(`{"user_data":%s}`, quote(data))
	p.wantRaw(fmt.Sprintf(`{"event":"pusher:signin_success","data":%s}`, quote(inner)))
	t.Log("again as the same user: answered again")
	must0(t, p.signin(data))
	p.want("pusher:signin_success", "")
	t.Log("as another one: an error in the connection, which stays what it was")
	must0(t, p.signin(`{"id":"u2"}`))
	p.wantError(4200, "sign-in: the connection is signed in as another user")
	e.r.Terminate(e.app, "u2")
	e.pump()
	p.wantNothing()
	if p.closed != nil {
		t.Fatalf("closed: %v", p.closed)
	}
	e.checkEmpty()
}

func TestSignInRefusals(t *testing.T) {
	for _, c := range []struct {
		name, userData, auth string
		code                 int
		text                 string
	}{
		{"no signature", `{"id":"u1"}`, ``, 4009, "sign-in: signature does not match socket_id::user::user_data"},
		{"another key", `{"id":"u1"}`, `nobody:00`, 4009, "sign-in: signature does not match socket_id::user::user_data"},
		{"a subscription's signature", `{"id":"u1"}`, `SIG(ID:{"id":"u1"})`, 4009, "sign-in: signature does not match socket_id::user::user_data"},
		{"id is a number", `{"id":7}`, `SIG(ID::user::{"id":7})`, 4200, "sign-in: user_data: id must be a string"},
		{"empty id", `{"id":""}`, `SIG(ID::user::{"id":""})`, 4200, "sign-in: user_data: id is empty"},
		{"no JSON", `x`, `SIG(ID::user::x)`, 4200, "sign-in: user_data is not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, 1)
			p := e.dial(0)
			must0(t, p.sayf(`{"event":"pusher:signin","data":{"auth":%s,"user_data":%s}}`, quote(p.signed(c.auth)), quote(c.userData)))
			p.wantError(c.code, c.text)
			p.wantNothing()
			if p.closed != nil {
				t.Fatalf("closed: %v", p.closed)
			}
			e.checkEmpty()
		})
	}
}

func TestServerToUser(t *testing.T) {
	e := newEdge(t, 2)
	a, tab, other := e.dial(0), e.dial(1), e.dial(0)
	for _, p := range []*peer{a, tab} {
		must0(t, p.signin(`{"id":"u1"}`))
		p.want("pusher:signin_success", "")
		p.joined("#server-to-user-u1")
	}
	must0(t, other.signin(`{"id":"u2"}`))
	other.want("pusher:signin_success", "")
	must0(t, other.subscribe("#server-to-user-u1", ""))
	e.pump()
	other.wantRefused("#server-to-user-u1", "AuthError", 401, "the channel belongs to a user that is not signed in on this connection")
	e.publish("#server-to-user-u1", "hello", "1")
	a.wantRaw(`{"event":"hello","channel":"#server-to-user-u1","data":"1"}`)
	tab.want("hello", "#server-to-user-u1")
	other.wantNothing()
	e.checkEmpty()
}

func TestTerminate(t *testing.T) {
	e := newEdge(t, 2)
	var tabs []*peer
	for i := range 200 {
		p := e.dial(i % 2)
		must0(t, p.signin(`{"id":"u1"}`))
		p.want("pusher:signin_success", "")
		tabs = append(tabs, p)
	}
	present, other := e.dial(0), e.dial(0)
	present.joinedAs("presence-a", "u1")
	must0(t, other.signin(`{"id":"u2"}`))
	other.want("pusher:signin_success", "")

	e.r.Terminate(e.app, "nobody")
	e.r.Terminate(e.app, "u1")
	t.Log("one that has gone meanwhile is passed over, and its slot's heir is spared")
	tabs[0].drop()
	heir := e.loops[0].openAt(tabs[0].slot, plainUpgrade())
	heir.established()
	e.pump()
	for _, p := range tabs[1:] {
		p.wantError(4009, frame.Terminated.Text)
		p.wantClosed(frame.Terminated)
		t.Log("what it still sends is ignored")
		must0(t, p.say(`{"event":"pusher:ping","data":{}}`))
		p.wantNothing()
	}
	for _, p := range []*peer{present, other, heir} {
		if p.closed != nil {
			t.Fatalf("somebody else was closed: %v", p.closed)
		}
	}
	e.r.Terminate(e.app, "u1") // twice: no second close
	e.pump()
	e.checkEmpty()
}

func TestWatchlist(t *testing.T) {
	const watch = `{"event":"pusher_internal:watchlist_events","data":%s}`
	online := func(ids ...string) string {
		return fmt.Sprintf(watch, quote(`{"events":[{"name":"online","user_ids":`+list(ids)+`}]}`))
	}
	offline := func(ids ...string) string {
		return fmt.Sprintf(watch, quote(`{"events":[{"name":"offline","user_ids":`+list(ids)+`}]}`))
	}
	e := newEdge(t, 2)
	friend := e.dial(1)
	must0(t, friend.signin(`{"id":"u2"}`))
	friend.want("pusher:signin_success", "")

	p := e.dial(0)
	must0(t, p.signin(`{"id":"u1","watchlist":["u2","u3","u2","u1"]}`))
	p.want("pusher:signin_success", "")
	t.Log("the state at sign-in: both lists in one message, each user once")
	p.wantRaw(fmt.Sprintf(watch, quote(`{"events":[{"name":"online","user_ids":["u2","u1"]},{"name":"offline","user_ids":["u3"]}]}`)))

	t.Log("then changes: only the first connection of a user and the last")
	third := e.dial(0)
	must0(t, third.signin(`{"id":"u3"}`))
	tab := e.dial(1)
	must0(t, tab.signin(`{"id":"u3"}`))
	e.pump()
	p.wantRaw(online("u3"))
	p.wantNothing()
	third.drop()
	e.pump()
	p.wantNothing()
	tab.drop()
	friend.drop()
	e.pump()
	p.wantRaw(offline("u3"))
	p.wantRaw(offline("u2"))

	t.Log("signing in again replaces the list")
	must0(t, p.signin(`{"id":"u1","watchlist":["u4"]}`))
	p.want("pusher:signin_success", "")
	p.wantRaw(offline("u4"))
	again := e.dial(1)
	must0(t, again.signin(`{"id":"u2"}`))
	e.pump()
	p.wantNothing()
	t.Log("a watcher that goes is told nothing more")
	p.drop()
	last := e.dial(1)
	must0(t, last.signin(`{"id":"u4"}`))
	e.checkEmpty()
}

func TestTheWatchlistIsCut(t *testing.T) {
	e := newEdge(t, 1, withLimits(func(l *Limits) { l.Watchlist = 2 }))
	p := e.dial(0)
	must0(t, p.signin(`{"id":"u1","watchlist":["a","b","c"]}`))
	p.want("pusher:signin_success", "")
	p.wantError(4302, "watchlist: cut to its first 2 users (limits.watchlist)")
	if m := p.want("pusher_internal:watchlist_events", ""); !strings.Contains(m.text(), `["a","b"]`) {
		t.Fatalf("state = %s", m.raw)
	}
	e.checkEmpty()
}

func TestManyWatchers(t *testing.T) {
	e := newEdge(t, 2)
	var watchers []*peer
	for i := range 500 {
		p := e.dial(i % 2)
		must0(t, p.signin(fmt.Sprintf(`{"id":"w%d","watchlist":["star"]}`, i)))
		p.got = nil
		watchers = append(watchers, p)
	}
	star := e.dial(0)
	must0(t, star.signin(`{"id":"star"}`))
	e.loops[0].turn()
	for i, p := range watchers {
		if i%5 == 0 {
			p.drop()
		}
	}
	star.drop()
	e.pump()
	for i, p := range watchers {
		if i%5 != 0 {
			p.want("pusher_internal:watchlist_events", "")
			if m := p.want("pusher_internal:watchlist_events", ""); !strings.Contains(m.text(), "offline") {
				t.Fatalf("last news = %s", m.raw)
			}
			p.wantNothing()
		}
	}
	e.checkEmpty()
}

func list(ids []string) string {
	quoted := make([]string, len(ids))
	for i, id := range ids {
		quoted[i] = quote(id)
	}
	return "[" + strings.Join(quoted, ",") + "]"
}
