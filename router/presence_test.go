package router

import (
	"fmt"
	"strings"
	"testing"
)

const (
	succeeded = `{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":%s}`
	added     = `{"event":"pusher_internal:member_added","channel":"presence-a","data":%s}`
	removed   = `{"event":"pusher_internal:member_removed","channel":"presence-a","data":%s}`
)

func TestPresenceOfSeveralTabs(t *testing.T) {
	e := newEdge(t, 2)
	ann, bob, tab := e.dial(0), e.dial(0), e.dial(1)

	must0(t, ann.subscribe("presence-a", `{"user_id":"7","user_info":{"name":"Ann"}}`))
	e.pump()
	ann.wantRaw(fmt.Sprintf(succeeded, quote(`{"presence":{"ids":["7"],"hash":{"7":{"name":"Ann"}},"count":1}}`)))

	must0(t, bob.subscribe("presence-a", `{"user_id":"9"}`))
	e.pump()
	bob.wantRaw(fmt.Sprintf(succeeded, quote(`{"presence":{"ids":["7","9"],"hash":{"7":{"name":"Ann"},"9":null},"count":2}}`)))
	ann.wantRaw(fmt.Sprintf(added, quote(`{"user_id":"9"}`)))

	t.Log("a second tab is no new member; its user_info does not replace the first one's")
	must0(t, tab.subscribe("presence-a", `{"user_id":7,"user_info":{"name":"Anne"}}`))
	e.pump()
	tab.wantRaw(fmt.Sprintf(succeeded, quote(`{"presence":{"ids":["7","9"],"hash":{"7":{"name":"Ann"},"9":null},"count":2}}`)))
	ann.wantNothing()
	bob.wantNothing()

	t.Log("a user goes with the last tab")
	ann.drop()
	e.pump()
	bob.wantNothing()
	must0(t, tab.unsubscribe("presence-a"))
	e.pump()
	bob.wantRaw(fmt.Sprintf(removed, quote(`{"user_id":"7"}`)))
	tab.wantNothing()

	t.Log("and with a new first connection its user_info is the new one")
	must0(t, tab.subscribe("presence-a", `{"user_id":"7","user_info":{"name":"Anne"}}`))
	e.pump()
	bob.wantRaw(fmt.Sprintf(added, quote(`{"user_id":"7","user_info":{"name":"Anne"}}`)))
	tab.want("pusher_internal:subscription_succeeded", "presence-a")
	bob.wantNothing()
	e.checkEmpty()
}

func TestJoinersSeeEachOtherExactlyOnce(t *testing.T) {
	e := newEdge(t, 3)
	var peers []*peer
	for i := range 60 {
		p := e.dial(i % 3)
		must0(t, p.present("presence-a", fmt.Sprint("u", i)))
		peers = append(peers, p)
	}
	e.pump()
	for i, p := range peers {
		m := p.want("pusher_internal:subscription_succeeded", "presence-a")
		known := strings.Count(m.text(), `"n-u`)
		if known != i+1 {
			t.Fatalf("joiner %d was told of %d members, want %d", i, known, i+1)
		}
		for later := i + 1; later < len(peers); later++ {
			if m := p.want("pusher_internal:member_added", "presence-a"); !strings.Contains(m.text(), fmt.Sprintf(`"u%d"`, later)) {
				t.Fatalf("joiner %d: %s, want u%d", i, m.raw, later)
			}
		}
		p.wantNothing()
	}
	e.checkEmpty()
}

func TestPresenceLimits(t *testing.T) {
	e := newEdge(t, 1, withLimits(func(l *Limits) { l.PresenceMembers, l.UserIDBytes, l.UserInfoBytes = 2, 8, 100 }))
	a, b, c := e.dial(0), e.dial(0), e.dial(0)
	a.joinedAs("presence-a", "1")
	b.joinedAs("presence-a", "2")
	must0(t, c.present("presence-a", "3"))
	c.wantRefused("presence-a", "LimitReached", 403, "presence members: 3, limit 2 (limits.presence_members)")
	t.Log("another tab of a member is no further member")
	c.joinedAs("presence-a", "2")

	must0(t, c.present("presence-b", "123456789"))
	c.wantRefused("presence-b", "BadRequest", 400, "channel_data: user_id is 9 bytes, limit 8 (limits.user_id_bytes)")
	data := `{"user_id":"1","user_info":"` + strings.Repeat("x", 100) + `"}`
	must0(t, c.subscribe("presence-b", data))
	c.wantRefused("presence-b", "BadRequest", 400, fmt.Sprintf("channel_data is %d bytes, limit 100 (limits.user_info_bytes)", len(data)))
	if e.r.Info(e.app, "presence-b", 0).Occupied {
		t.Error("the refused channel is occupied")
	}
	e.checkEmpty()
}

func TestPresenceOfASignedInUser(t *testing.T) {
	e := newEdge(t, 1)
	p, watcher := e.dial(0), e.dial(0)
	watcher.joinedAs("presence-a", "w")
	must0(t, p.signin(`{"id":"u1","user_info":{"n":"Ann"}}`))
	p.want("pusher:signin_success", "")
	must0(t, p.subscribe("presence-a", ""))
	e.pump()
	p.want("pusher_internal:subscription_succeeded", "presence-a")
	watcher.wantRaw(fmt.Sprintf(added, quote(`{"user_id":"u1","user_info":{"n":"Ann"}}`)))
	p.drop()
	e.pump()
	watcher.wantRaw(fmt.Sprintf(removed, quote(`{"user_id":"u1"}`)))
	e.checkEmpty()
}

// A presence subscription keeps its user when it is repeated as another one.
func TestARepeatedPresenceSubscribeKeepsItsUser(t *testing.T) {
	e := newEdge(t, 1)
	p, other := e.dial(0), e.dial(0)
	other.joinedAs("presence-a", "o")
	p.joinedAs("presence-a", "1")
	other.want("pusher_internal:member_added", "presence-a")
	m := p.joinedAs("presence-a", "2")
	if !strings.Contains(m.text(), `"ids":["o","1"]`) {
		t.Fatalf("members = %s", m.text())
	}
	other.wantNothing()
	p.drop()
	e.pump()
	other.wantRaw(fmt.Sprintf(removed, quote(`{"user_id":"1"}`)))
	other.wantNothing()
	e.checkEmpty()
}

func TestTheMemberListIsEncodedOnceWhileNobodyComesOrGoes(t *testing.T) {
	p := newPresence()
	u, _ := p.joinLocked(member("1"))
	first := p.snapshotLocked()
	p.joinLocked(member("1"))
	p.leaveLocked(u)
	if p.snapshotLocked() != first {
		t.Error("a further tab made a new list")
	}
	p.joinLocked(member("2"))
	if p.snapshotLocked() == first || len(first.members) != 1 {
		t.Error("a new member did not make a new list, or changed the old one")
	}
}
