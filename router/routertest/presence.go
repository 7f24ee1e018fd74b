package routertest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router"
)

var presenceSentences = []sentence{
	{"presence/enter returns when this node has handed the user out", enterIsTold},
	{"presence/who leaves has gone after a while and not before", leaving},
	{"presence/the data of a user's first connection stays", firstData},
	{"presence/so many users may be there and no more", presenceFull},
	{"presence/who follows later is handed the list", lateList},
}

// grace is how long who left may come back.
const grace = 2 * time.Second

var lobby = router.LogKey("app", "presence-lobby")

func (n *Node) tryEnter(key, id, info string, most int) error {
	return n.broker.Enter(key, pusher.Member{UserID: id, Info: []byte(`{"name":"` + info + `"}`)}, most)
}

// enter has users come who have to be let in.
func (n *Node) enter(key string, ids ...string) {
	n.t.Helper()
	for _, id := range ids {
		if err := n.tryEnter(key, id, "x", 1000); err != nil {
			n.t.Fatalf("%s: %s enters: %v", n.name, id, err)
		}
	}
}

func (n *Node) leave(key string, ids ...string) {
	for _, id := range ids {
		n.broker.Leave(key, id)
	}
}

// members is the node's list, as user=info, sorted.
func (n *Node) members(key string) []string {
	_, list := n.broker.Members(key)
	var all []string
	for _, m := range list {
		all = append(all, m.UserID+"="+strings.TrimSuffix(strings.TrimPrefix(string(m.Info), `{"name":"`), `"}`))
	}
	slices.Sort(all)
	return all
}

// wantMembers waits until the list of every node is this, and was told to it.
func (c *Cluster) wantMembers(t *testing.T, key string, want ...string) {
	t.Helper()
	var users []string
	for _, m := range want {
		id, _, _ := strings.Cut(m, "=")
		users = append(users, id)
	}
	for _, n := range c.Nodes {
		wait(t, n.name+" has "+strings.Join(want, " "), func() bool {
			return slices.Equal(n.members(key), want) && slices.Equal(n.there(key), users)
		})
	}
}

// wantChanges fails when a node was told anything else of a user.
func (c *Cluster) wantChanges(t *testing.T, key, id string, want ...string) {
	t.Helper()
	for _, n := range c.Nodes {
		got := slices.DeleteFunc(n.changes(key), func(change string) bool { return change[1:] != id })
		if !slices.Equal(got, want) {
			t.Errorf("%s was told %v of %s, want %v", n.name, got, id, want)
		}
	}
}

// passGrace returns when the time is over of all who left before, on any node: everybody
// is told of those who leave now.
func (c *Cluster) passGrace() {
	c.t.Helper()
	key := router.LogKey("app", "presence-grace")
	c.follow(key)
	for _, n := range c.Nodes {
		n.enter(key, n.name)
		n.leave(key, n.name)
	}
	for _, n := range c.Nodes {
		for _, left := range c.Nodes {
			wait(c.t, n.name+" is told who left last", func() bool { return slices.Contains(n.changes(key), "-"+left.name) })
		}
	}
}

func enterIsTold(t *testing.T, c *Cluster) {
	for i, id := range []string{"1", "2", "3"} {
		n := c.node(i)
		before, _ := n.broker.Members(lobby)
		n.enter(lobby, id)
		if version, _ := n.broker.Members(lobby); version <= before || !slices.Contains(n.members(lobby), id+"=x") {
			t.Errorf("%s has entered, and the list is %v, version %d after %d", id, n.members(lobby), version, before)
		}
		if !slices.Contains(n.there(lobby), id) {
			t.Errorf("%s has entered and was not handed out", id)
		}
	}
	c.follow(lobby)
	c.wantMembers(t, lobby, "1=x", "2=x", "3=x")
}

// leaving: each case has a channel of its own, so that one while is enough for all. A user
// called 1 comes and goes.
func leaving(t *testing.T, c *Cluster) {
	cases := map[string]struct {
		script  func(key string)
		there   []string
		changes []string
	}{
		"one connection that goes": {func(key string) {
			c.last().enter(key, "1")
			c.last().leave(key, "1")
		}, nil, []string{"+1", "-1"}},
		"connections on all nodes, and all go": {func(key string) {
			for _, n := range c.Nodes {
				n.enter(key, "1", "1")
			}
			for _, n := range c.Nodes {
				n.leave(key, "1", "1")
			}
		}, nil, []string{"+1", "-1"}},
		"connections on all nodes, and one stays": {func(key string) {
			for _, n := range c.Nodes {
				n.enter(key, "1", "1")
			}
			for _, n := range c.Nodes {
				n.leave(key, "1", "1")
				if n == c.first() {
					n.enter(key, "1")
				}
			}
		}, []string{"1=x"}, []string{"+1"}},
		"the other connection of one node stays": {func(key string) {
			c.last().enter(key, "1", "1")
			c.last().leave(key, "1")
		}, []string{"1=x"}, []string{"+1"}},
		"back in time on the same node": {func(key string) {
			c.first().enter(key, "1")
			c.first().leave(key, "1")
			c.first().enter(key, "1")
		}, []string{"1=x"}, []string{"+1"}},
		"back in time, over and over, elsewhere": {func(key string) {
			c.first().enter(key, "1")
			for i := range 6 {
				c.node(i).leave(key, "1")
				c.node(i+1).enter(key, "1")
			}
		}, []string{"1=x"}, []string{"+1"}},
		"back in time, and gone again": {func(key string) {
			c.first().enter(key, "1")
			c.first().leave(key, "1")
			c.last().enter(key, "1")
			c.last().leave(key, "1")
		}, nil, []string{"+1", "-1"}},
		"a user who was not there goes": {func(key string) {
			c.first().leave(key, "1")
		}, nil, nil},
	}
	key := func(name string) string {
		return router.LogKey("app", "presence-"+strings.NewReplacer(" ", "-", ",", "").Replace(name))
	}
	began := map[string]time.Time{}
	for name, k := range cases {
		c.follow(key(name))
		began[name] = time.Now()
		k.script(key(name))
	}
	c.passGrace()
	for name, k := range cases {
		t.Run(name, func(t *testing.T) {
			c.wantMembers(t, key(name), k.there...)
			c.wantChanges(t, key(name), "1", k.changes...)
			if !slices.Contains(k.changes, "-1") {
				return
			}
			for _, n := range c.Nodes {
				if d := n.gone(key(name), "1").Sub(began[name]); d < grace {
					t.Errorf("%s was told after %s who had left", n.name, d)
				}
			}
		})
	}
}

func firstData(t *testing.T, c *Cluster) {
	c.follow(lobby)
	for _, k := range []struct {
		n    *Node
		info string
	}{{c.first(), "first"}, {c.last(), "second"}, {c.first(), "third"}} {
		if err := k.n.tryEnter(lobby, "1", k.info, 10); err != nil {
			t.Fatal(err)
		}
	}
	c.wantMembers(t, lobby, "1=first")
	c.first().enter(lobby, "2")
	c.wantMembers(t, lobby, "1=first", "2=x")
	c.wantChanges(t, lobby, "1", "+1")
}

func presenceFull(t *testing.T, c *Cluster) {
	c.follow(lobby)
	if err := errors.Join(c.first().tryEnter(lobby, "1", "x", 2), c.last().tryEnter(lobby, "2", "x", 2)); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := n.tryEnter(lobby, "3", "x", 2); !errors.Is(err, router.ErrPresenceFull) {
			t.Errorf("a third user: %v", err)
		}
		if err := n.tryEnter(lobby, "1", "x", 2); err != nil {
			t.Errorf("who is there already is not one more: %v", err)
		}
	}
	if err := c.last().tryEnter(lobby, "4", "x", 3); err != nil {
		t.Errorf("where more may be there, one more: %v", err)
	}
	c.wantMembers(t, lobby, "1=x", "2=x", "4=x")
	c.wantChanges(t, lobby, "3")
}

func lateList(t *testing.T, c *Cluster) {
	c.first().follow(lobby)
	c.first().enter(lobby, "1", "2", "3")
	c.last().follow(lobby)
	if got := c.last().members(lobby); !slices.Equal(got, []string{"1=x", "2=x", "3=x"}) {
		t.Errorf("a node that follows now has %v", got)
	}
	c.last().enter(lobby, "4")
	for _, n := range []*Node{c.first(), c.last()} {
		wait(t, n.name+" has all", func() bool { return slices.Equal(n.there(lobby), []string{"1", "2", "3", "4"}) })
	}
}
