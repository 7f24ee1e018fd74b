package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

const room = "app\x1fpresence-room"

func user(id string) pusher.Member {
	return pusher.Member{UserID: id, Info: []byte(`{"name":"` + id + `"}`)}
}

func (n *node) enter(key, id string) {
	n.t.Helper()
	if err := n.Enter(key, user(id), 1000); err != nil {
		n.t.Fatalf("%s comes to %s: %v", id, key, err)
	}
}

// there is who is in a channel as the node was told, sorted.
func (n *node) there(key string) []string {
	_, list := n.Members(key)
	ids := make([]string, len(list))
	for i, m := range list {
		ids[i] = m.UserID
	}
	slices.Sort(ids)
	return ids
}

func TestPresenceOnTwoNodes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	a.enter(room, "1")
	b.enter(room, "2")
	wait(t, "both on both", func() bool { return len(a.there(room)) == 2 && len(b.there(room)) == 2 })
	if _, list := b.Members(room); !slices.ContainsFunc(list, func(m pusher.Member) bool {
		return m.UserID == "1" && string(m.Info) == `{"name":"1"}`
	}) {
		t.Errorf("%+v", list)
	}
	b.enter(room, "1") // a second connection, on another node
	a.Leave(room, "1")
	time.Sleep(leaveGrace + time.Second) // nothing may happen, so there is nothing to wait for
	if got := b.there(room); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("%v", got)
	}
	b.Leave(room, "1")
	for _, n := range []*node{a, b} {
		wait(t, "the user has gone", func() bool { return slices.Equal(n.there(room), []string{"2"}) })
		if got := n.present(room); strings.Count(strings.Join(got, " "), "1") != 2 {
			t.Errorf("%v", got)
		}
	}
}

// TestLostComing: that somebody came of whom this node was not told only the version of the
// list can tell. While that is the same the list is not read.
func TestLostComing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.enter(room, "1")
	before := calls(s, "hgetall")
	a.compare()
	if now := calls(s, "hgetall"); now != before || before == "" {
		t.Errorf("the list was read %q times, and %q before", now, before)
	}
	node, name := "another", a.keys.of(room)
	if err := a.eval(t.Context(), a.client, enterScript, []call{{
		peopleKeys(name, node), []string{"2", a.sealed(room, kindJoined, memberText(user("2"))), node, "1000", "PUBLISH", "nobody", fmt.Sprint(maxSeq)},
	}})[0].Error(); err != nil {
		t.Fatal(err)
	}
	a.compare()
	wait(t, "who came unheard", func() bool { return slices.Equal(a.there(room), []string{"1", "2"}) })
}

// TestReturningUserHasNotLeft: within the grace, on the same node or on another.
func TestReturningUserHasNotLeft(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	b.subscribe(room)
	for _, n := range []*node{a, a, b, a} {
		n.enter(room, "1")
		n.Leave(room, "1")
	}
	wait(t, "the user has gone", func() bool { return len(b.present(room)) == 2 })
	if got := b.present(room); !slices.Equal(got, []string{"+1", "-1"}) {
		t.Errorf("%v", got)
	}
}

func TestPresenceHasABound(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	for i := range 3 {
		if err := a.Enter(room, user(fmt.Sprint(i)), 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Enter(room, user("over"), 3); !errors.Is(err, router.ErrPresenceFull) {
		t.Errorf("%v", err)
	}
	if err := b.Enter(room, user("1"), 3); err != nil {
		t.Errorf("who is there already is not one more: %v", err)
	}
}

// TestKilledNodeLeavesNoGhosts: its members are gone within redis.lease, and told once.
func TestKilledNodeLeavesNoGhosts(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	conf := testConfig(s)
	a, b, c := join(t, conf), join(t, conf), join(t, conf)
	for i := range 20 {
		c.enter(room, fmt.Sprint("c", i))
	}
	a.enter(room, "c7") // also on a node that lives
	b.enter(room, "b")
	wait(t, "all", func() bool { return len(a.there(room)) == 21 && len(b.there(room)) == 21 })
	c.kill()
	began := time.Now()
	for _, n := range []*node{a, b} {
		wait(t, "the ghosts are gone", func() bool { return slices.Equal(n.there(room), []string{"b", "c7"}) })
	}
	if d := time.Since(began); d > conf.Lease {
		t.Errorf("it took %s, redis.lease is %s", d, conf.Lease)
	}
	for _, n := range []*node{a, b} {
		left := 0
		for _, change := range n.present(room) {
			if strings.HasPrefix(change, "-") {
				left++
			}
		}
		if left != 19 {
			t.Errorf("%d were told to have gone, want 19: %v", left, n.present(room))
		}
	}
	keys, err := client(t, s).Do(context.Background(), client(t, s).B().Keys().Pattern("test:rooms:*").Build()).AsStrSlice()
	if err != nil || len(keys) != 2 {
		t.Errorf("the dead node's list is still there: %v %v", keys, err)
	}
}

// TestEndedClaimIsNotSaid: members are said again one after the other, and who has left
// meanwhile is not.
func TestEndedClaimIsNotSaid(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(room)
	a.enter(room, "1")
	a.Broker.mu.Lock()
	c := a.claims[room]["1"]
	a.Broker.mu.Unlock()
	a.Leave(room, "1")
	wait(t, "the user has gone", func() bool { return len(a.there(room)) == 0 })
	if err := a.announce(c, maxSeq); err != nil {
		t.Fatal(err)
	}
	if n := s.Text("HLEN", a.keys.of(room)+suffixPeople); n != ":0" {
		t.Errorf("Redis has %s users", n)
	}
}

// kill ends a node without a word to anybody.
func (n *node) kill() {
	n.stop()
	n.client.Close()
	n.running.Wait()
}

// TestEndingNode: one that ends is asked nothing any more, and its users have two seconds
// to come to another one.
func TestEndingNode(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	conf := testConfig(s)
	conf.Lease = 3 * time.Second
	a, b := join(t, conf), join(t, conf)
	b.subscribe(room)
	a.enter(room, "stays")
	a.enter(room, "goes")
	wait(t, "both", func() bool { return len(b.there(room)) == 2 })
	wait(t, "the nodes know each other", func() bool {
		b.Broker.mu.Lock()
		defer b.Broker.mu.Unlock()
		return len(b.lease.seen) == 2
	})
	a.Close()
	if answers, err := b.Ask([]byte("who?")); err != nil || len(answers) != 1 {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	b.enter(room, "stays")
	wait(t, "who did not come again has gone", func() bool { return slices.Equal(b.there(room), []string{"stays"}) })
	if got := b.present(room); !slices.Equal(got, []string{"+stays", "+goes", "-goes"}) {
		t.Errorf("%v", got)
	}
	wait(t, "it is told that the node has gone", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.nodesGone > 0
	})
}

// TestForgottenNodeSaysAgain: a node whose lease ended while it was stopped.
func TestForgottenNodeSaysAgain(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	conf := testConfig(s)
	a, b := join(t, conf), join(t, conf)
	a.enter(room, "1")
	b.subscribe(room)
	before := a.incarnation()
	s.Do("DEL", a.leaseKey(before))
	wait(t, "the node has a new name", func() bool { return a.incarnation() != before })
	wait(t, "the old one is forgotten", func() bool {
		n, err := client(t, s).Do(context.Background(), client(t, s).B().Sismember().Key(a.nodesKey()).Member(before).Build()).AsInt64()
		return err == nil && n == 0
	})
	wait(t, "its member is there", func() bool { return slices.Equal(b.there(room), []string{"1"}) })
	b.Close()
	a.Leave(room, "1")
	wait(t, "its member can go", func() bool { return len(a.there(room)) == 0 })
}

func (n *node) incarnation() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Broker.mu.Lock()
	defer n.Broker.mu.Unlock()
	return n.lease.name
}

// TestPresenceAfterEmptyRestart: Redis forgot everything, and the nodes tell it.
func TestPresenceAfterEmptyRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	a.enter(room, "1")
	b.enter(room, "2")
	s.Kill()
	wait(t, "the loss is seen", func() bool { return !a.Up() && !b.Up() })
	s.Forget()
	s.Run()
	for _, n := range []*node{a, b} {
		wait(t, "both are there again", func() bool { return n.Up() && slices.Equal(n.there(room), []string{"1", "2"}) })
	}
}

// TestForgottenMayBeGone: Redis forgot everything while a node went. Its members are kept
// until it has had the time to say them again, and no longer.
func TestForgottenMayBeGone(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	conf := testConfig(s)
	conf.Lease = 4 * time.Second
	a, b := join(t, conf), join(t, conf)
	a.enter(room, "1")
	b.enter(room, "2")
	wait(t, "both", func() bool { return slices.Equal(a.there(room), []string{"1", "2"}) })
	a.Follow(room)
	a.sweep(time.Now()) // it is occupied, and sweep looks at it no more
	b.Close()
	s.Kill()
	wait(t, "the loss is seen", func() bool { return !a.Up() })
	s.Forget()
	s.Run()
	wait(t, "the list is read", func() bool {
		_, err := a.Load(room)
		return err == nil
	})
	if got := a.there(room); !slices.Contains(got, "2") {
		t.Errorf("%v: who may be about to be said again is gone at once", got)
	}
	wait(t, "who is not said again is gone", func() bool { return slices.Equal(a.there(room), []string{"1"}) })
}

// TestPresenceModel: users with several tabs come and go on three nodes; in the end all
// nodes and Redis agree with a model, and no node was told that somebody came twice or
// went who was not there.
func TestPresenceModel(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	nodes := []*node{join(t, testConfig(s)), join(t, testConfig(s)), join(t, testConfig(s))}
	for _, n := range nodes {
		n.subscribe(room)
	}
	users, steps := 100, 30
	if os.Getenv("HOLDFAST_SOAK") != "" {
		users, steps = 500, 300
	}
	tabs := make([]map[int]int, users) // by node
	var all sync.WaitGroup
	for u := range users {
		tabs[u] = map[int]int{}
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(u), 1))
			for range steps {
				i := r.IntN(len(nodes))
				if tabs[u][i] > 0 && r.IntN(2) == 0 {
					tabs[u][i]--
					nodes[i].Leave(room, fmt.Sprint(u))
				} else {
					tabs[u][i]++
					nodes[i].enter(room, fmt.Sprint(u))
				}
				if r.IntN(10) == 0 {
					time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				}
			}
			if u%3 == 0 { // all tabs of some are closed in the end
				for i, n := range tabs[u] {
					for range n {
						nodes[i].Leave(room, fmt.Sprint(u))
					}
					tabs[u][i] = 0
				}
			}
		})
	}
	all.Wait()
	var want []string
	for u := range users {
		if tabs[u][0]+tabs[u][1]+tabs[u][2] > 0 {
			want = append(want, fmt.Sprint(u))
		}
	}
	slices.Sort(want)
	for i, n := range nodes {
		wait(t, "the list is the model's", func() bool { return slices.Equal(n.there(room), want) })
		there := map[string]bool{}
		for _, change := range n.present(room) {
			id := change[1:]
			if there[id] == (change[0] == '+') {
				t.Errorf("node %d was told %s of a user of whom it knew that", i, change)
			}
			there[id] = change[0] == '+'
		}
	}
	kept, err := client(t, s).Do(context.Background(), client(t, s).B().Hkeys().Key(nodes[0].keys.of(room)+suffixPeople).Build()).AsStrSlice()
	slices.Sort(kept)
	if err != nil || !slices.Equal(kept, want) {
		t.Errorf("Redis has %v, want %v (%v)", kept, want, err)
	}
}

func TestAskAndTell(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b, c := join(t, testConfig(s)), join(t, testConfig(s)), join(t, testConfig(s))
	a.name, b.name, c.name = "a", "b", strings.Repeat("c", 3*partBytes)
	answers, err := b.Ask([]byte("who?"))
	if err != nil || len(answers) != 3 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	slices.SortFunc(answers, func(x, y []byte) int { return len(x) - len(y) })
	if len(answers[2]) != len(c.name)+len(" who?") || !strings.HasSuffix(string(answers[0]), " who?") {
		t.Errorf("%.20q %.20q, %d bytes", answers[0], answers[1], len(answers[2]))
	}
	a.subscribe(news)
	b.subscribe(news)
	if err := c.Tell(news, "terminate"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []*node{a, b} {
		wait(t, "it is told", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return slices.Equal(n.told, []string{news + " terminate"})
		})
	}
	c.kill() // it has a lease, and does not answer
	if _, err := a.Ask([]byte("who?")); !errors.Is(err, router.ErrBrokerUnavailable) {
		t.Errorf("half an answer was taken: %v", err)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.enter(room, "1")
	a.enter("app\x1fpresence-other", "1")
	a.Leave("app\x1fpresence-other", "1")
	wait(t, "the user has gone", func() bool { return len(a.there("app\x1fpresence-other")) == 0 })
	a.forget(time.Now().Add(time.Minute))
	rooms, err := client(t, s).Do(context.Background(), client(t, s).B().Zrange().Key(a.roomsKey(a.incarnation())).Min("0").Max("-1").Build()).AsStrSlice()
	if err != nil || !slices.Equal(rooms, []string{room}) {
		t.Errorf("%v %v", rooms, err)
	}
}
