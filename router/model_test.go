package router

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"
)

// The model test runs random joins, leaves, publishes, exclusions, sign-offs and
// reconnects on several loops whose turns are interleaved at random, and compares
// what every client received with a model that knows nothing of loops.
//
// A subscription must have received a prefix of what happened on its channel between
// its subscribe and its end, in order, less what it was excluded from; all of it if
// it never ended. On presence channels it must have been told exactly the users of
// the moment of its subscribe, and a prefix of the changes after it.

// modelChannel is what the model knows of a channel: its history.
type modelChannel struct {
	name  string
	log   []modelEntry
	users map[string]int // connections by user, as of now
}

// modelEntry is one happening that members hear of.
type modelEntry struct {
	text   string
	except *peer
}

// stay is one subscription from subscribe to end.
type stay struct {
	peer      *peer
	ch        *modelChannel
	from, to  int      // in ch.log; to = -1 while it lasts
	user      string   // presence
	here      []string // users at the moment of the subscribe, sorted
	succeeded bool
	seen      []string
}

type model struct {
	t        *testing.T
	e        *edge
	rng      *rand.Rand
	channels []*modelChannel
	stays    map[*peer]map[string]*stay // current ones
	all      []*stay
	peers    []*peer
	free     []uint32 // slots whose connection has gone: the next one may be on any loop
	serial   int
}

func TestEveryMemberGetsEachEventOnceAndInOrder(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runModel(t, seed, 4000) })
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	e := newEdge(t, 1+rng.IntN(4), withLimits(func(l *Limits) {
		l.FramesPerSecond, l.SubscribesPerSecond, l.PresenceMembers = 100_000, 100_000, 100_000
	}))
	e.step = int64(rng.IntN(100)) * int64(time.Microsecond) // walks are cut at some seeds
	m := &model{t: t, e: e, rng: rng, stays: map[*peer]map[string]*stay{}}
	for _, name := range []string{"news", "private-a", "presence-room", "presence-hall", "lone"} {
		m.channels = append(m.channels, &modelChannel{name: name, users: map[string]int{}})
	}
	for range steps {
		m.step()
	}
	e.pump()
	m.check()
	e.checkEmpty()
}

func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 12 && len(m.peers) < 150:
		m.connect()
	case n < 14:
		m.disconnect()
	case n < 40:
		m.subscribe()
	case n < 55:
		m.unsubscribe()
	case n < 80:
		m.publish()
	default: // loops move at their own pace
		m.e.loops[m.rng.IntN(len(m.e.loops))].turn()
	}
}

func (m *model) somebody() *peer {
	if len(m.peers) == 0 {
		return nil
	}
	return m.peers[m.rng.IntN(len(m.peers))]
}

func (m *model) connect() {
	var p *peer
	loop := m.rng.IntN(len(m.e.loops))
	if n := len(m.free); n > 0 {
		p = m.e.loops[loop].openAt(m.free[n-1], plainUpgrade())
		m.free = m.free[:n-1]
	} else {
		p = m.e.open(loop, plainUpgrade())
	}
	p.established()
	p.onMsg = func(msg message) { m.received(p, msg) }
	m.peers = append(m.peers, p)
	m.stays[p] = map[string]*stay{}
}

func (m *model) disconnect() {
	p := m.somebody()
	if p == nil {
		return
	}
	// All subscriptions end, in the order in which the router ends them: the last
	// one made is the first.
	names := make([]string, 0, len(m.stays[p]))
	for name := range m.stays[p] {
		names = append(names, name)
	}
	p.drop()
	for _, name := range names {
		m.end(p, name)
	}
	delete(m.stays, p)
	m.peers = slices.DeleteFunc(m.peers, func(q *peer) bool { return q == p })
	m.free = append(m.free, p.slot)
}

func (m *model) subscribe() {
	p := m.somebody()
	if p == nil {
		return
	}
	ch := m.channels[m.rng.IntN(len(m.channels))]
	again := m.stays[p][ch.name] != nil
	st := &stay{peer: p, ch: ch, from: len(ch.log), to: -1}
	if presenceName(ch.name) {
		st.user = fmt.Sprintf("u%d", m.rng.IntN(40))
		must0(m.t, p.present(ch.name, st.user))
		if again {
			return
		}
		ch.users[st.user]++
		st.here = usersOf(ch)
		if ch.users[st.user] == 1 {
			ch.log = append(ch.log, modelEntry{text: "+" + st.user})
			st.from = len(ch.log) // it does not hear of itself
		}
	} else {
		must0(m.t, p.subscribe(ch.name, ""))
		if again {
			return
		}
	}
	m.stays[p][ch.name] = st
	m.all = append(m.all, st)
}

func (m *model) unsubscribe() {
	p := m.somebody()
	if p == nil {
		return
	}
	ch := m.channels[m.rng.IntN(len(m.channels))]
	must0(m.t, p.unsubscribe(ch.name))
	m.end(p, ch.name)
}

// end closes a stay in the model, after the router was told.
func (m *model) end(p *peer, name string) {
	st := m.stays[p][name]
	if st == nil {
		return
	}
	delete(m.stays[p], name)
	st.to = len(st.ch.log)
	if st.user == "" {
		return
	}
	st.ch.users[st.user]--
	if st.ch.users[st.user] == 0 {
		delete(st.ch.users, st.user)
		st.ch.log = append(st.ch.log, modelEntry{text: "-" + st.user})
	}
}

func (m *model) publish() {
	for range 1 + m.rng.IntN(3) {
		ch := m.channels[m.rng.IntN(len(m.channels))]
		m.serial++
		text := fmt.Sprint(m.serial)
		ev := &Event{Name: "e", Data: text, Channels: []string{ch.name}}
		entry := modelEntry{text: text}
		if p := m.somebody(); p != nil && m.rng.IntN(3) == 0 {
			ev.Except, entry.except = p.id, p
		}
		m.e.publishNow(ev)
		ch.log = append(ch.log, entry)
	}
}

// received books one message to a peer.
func (m *model) received(p *peer, msg message) {
	st := m.stays[p][msg.Channel]
	if st == nil {
		m.t.Fatalf("peer %d received %s without a subscription", p.slot, msg.raw)
	}
	if msg.Event == "pusher_internal:subscription_succeeded" {
		m.succeeded(st, msg)
		return
	}
	if !st.succeeded {
		m.t.Fatalf("peer %d received %s before its success", p.slot, msg.raw)
	}
	switch msg.Event {
	case "e":
		st.seen = append(st.seen, msg.text())
	case "pusher_internal:member_added":
		st.seen = append(st.seen, "+"+userOf(m.t, msg))
	case "pusher_internal:member_removed":
		st.seen = append(st.seen, "-"+userOf(m.t, msg))
	default:
		m.t.Fatalf("unexpected message %s", msg.raw)
	}
}

// succeeded checks the member list of a first success. A repeated one tells the
// list of a later moment.
func (m *model) succeeded(st *stay, msg message) {
	if st.succeeded {
		return
	}
	st.succeeded = true
	if st.user == "" {
		return
	}
	var data struct {
		Presence struct {
			IDs   []string                     `json:"ids"`
			Hash  map[string]map[string]string `json:"hash"`
			Count int                          `json:"count"`
		} `json:"presence"`
	}
	if err := json.Unmarshal([]byte(msg.text()), &data); err != nil {
		m.t.Fatalf("presence data: %v in %s", err, msg.raw)
	}
	ids := slices.Clone(data.Presence.IDs)
	sort.Strings(ids)
	if !slices.Equal(ids, st.here) || len(data.Presence.Hash) != len(ids) || data.Presence.Count != len(ids) {
		m.t.Fatalf("members told at joining\n got %v (count %d)\nwant %v", ids, data.Presence.Count, st.here)
	}
}

// check compares every stay with the history of its channel.
func (m *model) check() {
	for _, perChannel := range m.stays {
		for _, st := range perChannel {
			if !st.succeeded {
				m.t.Errorf("a lasting subscription to %s never succeeded", st.ch.name)
			}
		}
	}
	full := 0
	for _, st := range m.all {
		lasts := st.to < 0
		end := st.to
		if lasts {
			end = len(st.ch.log)
		}
		var want []string
		for _, entry := range st.ch.log[st.from:end] {
			if entry.except == st.peer {
				continue
			}
			want = append(want, entry.text)
		}
		if lasts && !slices.Equal(st.seen, want) {
			m.t.Fatalf("a lasting subscription to %s\n saw %v\nwant %v", st.ch.name, st.seen, want)
		}
		if len(st.seen) > len(want) || !slices.Equal(st.seen, want[:len(st.seen)]) {
			m.t.Fatalf("an ended subscription to %s\n saw %v\nwant a prefix of %v", st.ch.name, st.seen, want)
		}
		full += len(st.seen)
	}
	if full < 1000 {
		m.t.Fatalf("only %d events were delivered: the test shows nothing", full)
	}
}

func presenceName(name string) bool { return len(name) > 9 && name[:9] == "presence-" }

func usersOf(ch *modelChannel) []string {
	var ids []string
	for id := range ch.users {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}

func userOf(t *testing.T, msg message) string {
	var data struct {
		ID string `json:"user_id"`
	}
	if err := json.Unmarshal([]byte(msg.text()), &data); err != nil || data.ID == "" {
		t.Fatalf("member message without a user: %s", msg.raw)
	}
	return data.ID
}

func must0(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
