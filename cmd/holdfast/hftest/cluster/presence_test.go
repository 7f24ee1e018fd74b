package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest/oracle"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

const hall = "presence-hall"

// hallway is a presence channel with those who come and go, and what is known of it.
type hallway struct {
	mu     sync.Mutex
	always map[string]bool // users who are there throughout: nobody may be told that they went
	faults []string
	told   int // changes that tabs were told of
	work   sync.WaitGroup
}

func (h *hallway) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.faults) < 20 {
		h.faults = append(h.faults, fmt.Sprintf(format, args...))
	}
}

// tab is a page of a user's: one connection to any of some nodes, which comes again
// whenever it is cut off, until the page is closed.
type tab struct {
	// Immutable.
	h     *hallway
	user  string
	nodes []*hftest.Edge

	mu     sync.Mutex
	nc     net.Conn        // nil = not connected
	there  map[string]bool // members, as it was told; nil = it has not joined
	closed bool
}

// open opens a tab.
func (h *hallway) open(user string, nodes ...*hftest.Edge) *tab {
	b := &tab{h: h, user: user, nodes: nodes}
	h.work.Go(func() {
		for b.session() {
			time.Sleep(20*time.Millisecond + rand.N(80*time.Millisecond)) // as a client library backs off
		}
	})
	return b
}

// session is one connection; false when the tab is closed.
func (b *tab) session() bool {
	nc, err := net.DialTimeout("tcp", b.nodes[rand.IntN(len(b.nodes))].Addr, hftest.Patience)
	if err == nil {
		b.mu.Lock()
		b.nc = nc
		closed := b.closed
		b.mu.Unlock()
		if !closed {
			b.visit(nc)
		}
		nc.Close()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nc, b.there = nil, nil
	return !b.closed
}

// visit joins and keeps the list until the connection ends, for whatever reason.
func (b *tab) visit(nc net.Conn) {
	c, err := hftest.Connect(nc, time.Hour)
	if err != nil {
		return
	}
	data := fmt.Sprintf(`{"user_id":%q,"user_info":{"n":%q}}`, b.user, b.user)
	subscribe, err := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": map[string]string{
		"channel": hall, "channel_data": data, "auth": c.Auth(hall + ":" + data),
	}})
	if err != nil {
		panic(err) // strings and maps
	}
	if c.TrySend(string(subscribe)) != nil {
		return
	}
	for {
		ev, err := c.TryNext()
		if err != nil {
			return
		}
		b.hear(ev)
	}
}

func (b *tab) hear(ev hftest.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var change struct {
		UserID   string `json:"user_id"`
		Presence struct {
			Hash  map[string]json.RawMessage
			Count int
		}
	}
	if ev.Channel == hall {
		if err := json.Unmarshal([]byte(ev.Text()), &change); err != nil {
			b.h.fault("%s: %v in %s", b.user, err, ev.Raw)
			return
		}
	}
	id := change.UserID
	switch ev.Event {
	case "pusher_internal:subscription_succeeded":
		b.there = map[string]bool{}
		for id := range change.Presence.Hash {
			b.there[id] = true
		}
		if !b.there[b.user] || change.Presence.Count != len(b.there) {
			b.h.fault("%s joined and is not in its own list, or the count is wrong: %s", b.user, ev.Raw)
		}
	case "pusher_internal:member_added":
		if b.there[id] {
			b.h.fault("%s was told that %s came, who was there", b.user, id)
		}
		b.there[id] = true
		b.h.changed()
	case "pusher_internal:member_removed":
		if !b.there[id] {
			b.h.fault("%s was told that %s went, who was not there", b.user, id)
		}
		delete(b.there, id)
		b.h.gone(b.user, id)
	case "pusher:error": // a Close frame follows
	default:
		b.h.fault("%s: %s", b.user, ev.Raw)
	}
}

func (h *hallway) changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told++
}

func (h *hallway) gone(who, id string) {
	h.changed()
	h.mu.Lock()
	always := h.always[id]
	h.mu.Unlock()
	if always {
		h.fault("%s was told that %s went, who was there throughout", who, id)
	}
}

// sees tells whether the tab is there and has this list.
func (b *tab) sees(want []string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there != nil && slices.Equal(slices.Sorted(maps.Keys(b.there)), want)
}

func (b *tab) joined() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there != nil
}

// cut ends the connection with a reset; the tab comes again at once.
func (b *tab) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t, ok := b.nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		t.Close()
	}
}

// shut closes the tab.
func (b *tab) shut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.nc != nil {
		b.nc.Close()
	}
}

// userOf opens and closes tabs until the end, and returns those that are open then.
func (h *hallway) userOf(name string, seed uint64, end time.Time, nodes []*hftest.Edge) (open []*tab) {
	r := rand.New(rand.NewPCG(seed, 5))
	for time.Now().Before(end) {
		switch n := r.IntN(5); {
		case n < 2 && len(open) < 3:
			open = append(open, h.open(name, nodes...))
		case n < 4 && len(open) > 0:
			i := r.IntN(len(open))
			open[i].shut()
			open = slices.Delete(open, i, i+1)
		case len(open) > 0:
			open[r.IntN(len(open))].cut()
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond) // a user is no program
	}
	return open
}

// TestPresenceModel: users with several tabs come and go on three nodes, two of which are
// killed, and stopped for longer than their leases, and go on. Nobody is told that
// somebody came who was there or went who was not; whoever was there throughout never
// went; and in the end everybody sees who is there.
func TestPresenceModel(t *testing.T) {
	t.Parallel()
	users, length, lease := 30, 8*time.Second, 3*time.Second
	if oracle.Soak() {
		users, length, lease = 500, 5*time.Minute, 10*time.Second
	}
	began := time.Now()
	redis := redistest.Start(t, "--appendfsync", "everysec")
	edges := nodes(t, redis, 3, "--set", "redis.lease="+lease.String())
	h := &hallway{always: map[string]bool{"steady": true, "blinks": true}}
	var all []*tab
	t.Cleanup(func() {
		for _, b := range all {
			b.shut()
		}
		h.work.Wait()
	})
	steady := h.open("steady", edges[0])
	all = append(all, steady)

	t.Log("who is cut off and comes again within two seconds, to whatever node, has not left")
	blinks := h.open("blinks", edges...)
	all = append(all, blinks)
	for range 20 {
		eventually(t, "it joins", blinks.joined)
		blinks.cut()
		eventually(t, "it is cut off", func() bool { return !blinks.joined() })
	}
	eventually(t, "it joins", blinks.joined)
	blinks.shut()
	h.mu.Lock()
	delete(h.always, "blinks")
	h.mu.Unlock()

	// The steady user has further tabs, which come and go elsewhere.
	names := append(make([]string, 0, users), "steady")
	for u := range users - 1 {
		names = append(names, fmt.Sprint("u", u))
	}
	end := time.Now().Add(length)
	open := make([][]*tab, users)
	var moves sync.WaitGroup
	for u, name := range names {
		moves.Go(func() { open[u] = h.userOf(name, uint64(u), end, edges) })
	}
	faults := map[string]int{}
	// The pace of the faults, and below how long each lasts; nothing is waited for.
	for n := 0; time.Now().Before(end); n++ {
		e := edges[1+rand.IntN(2)]
		time.Sleep(rand.N(time.Second))
		switch n % 3 {
		case 0:
			faults["killed"]++
			e.Kill()
			time.Sleep(rand.N(lease))
			e.Run()
		case 1:
			faults["stood still beyond its lease"]++
			e.Signal(syscall.SIGSTOP)
			time.Sleep(lease + lease/3)
			e.Signal(syscall.SIGCONT)
		case 2:
			faults["stood still"]++
			e.Signal(syscall.SIGSTOP)
			time.Sleep(rand.N(lease / 2))
			e.Signal(syscall.SIGCONT)
		}
	}
	moves.Wait()
	present := map[string]bool{"steady": true}
	for u := range names {
		all = append(all, open[u]...)
		if len(open[u]) > 0 {
			present[names[u]] = true
		}
	}
	want := slices.Sorted(maps.Keys(present))
	settled := func() bool {
		return !slices.ContainsFunc(all, func(b *tab) bool { return b != blinks && !b.sees(want) })
	}
	eventually(t, "every tab sees who is there", settled)

	t.Log("a killed node's users are gone within ten seconds, each told once to each")
	ghosts := []*tab{h.open("ghost1", edges[1]), h.open("ghost2", edges[1])}
	for _, g := range ghosts {
		eventually(t, "the ghost to be", g.joined)
	}
	for _, g := range ghosts {
		g.mu.Lock()
		g.closed = true // it does not come again
		g.mu.Unlock()
	}
	killed := time.Now()
	edges[1].Kill()
	away := func() bool { return steady.sees(want) }
	eventually(t, "the ghosts are gone", away)
	took := time.Since(killed)
	if took > 10*time.Second {
		t.Errorf("the users of a killed node were there for %s, limit 10 s", took)
	}
	edges[1].Run()
	eventually(t, "every tab sees who is there", settled)

	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fault := range h.faults {
		t.Error(fault)
	}
	oracle.Report(t, "cluster-presence", began, 0, map[string]any{
		"users": users, "tabs_at_the_end": len(all), "present_at_the_end": len(want), "changes_told": h.told,
		"faults": faults, "lease_ms": lease.Milliseconds(), "ghosts_gone_ms": took.Milliseconds(),
	})
}
