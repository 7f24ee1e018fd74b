package router

import (
	"slices"
	"testing"
	"time"
)

// TestCountOfAllNodes: subscribers are told how many they are everywhere, once a second,
// and again when another node's number changes or a node goes.
func TestCountOfAllNodes(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 2, withBroker(b), withApp(counting), func(c *Config) { c.History = nil })
	p, q := e.dial(0), e.dial(1)
	p.joined("news")
	q.joined("news")
	p.wantNothing()
	b.other = appendRow(nil, row{name: "news", members: 3})
	e.tick(time.Second)
	p.wantRaw(countText("news", 5))
	q.wantRaw(countText("news", 5))

	t.Log("no change, no news")
	e.tick(2 * time.Second)
	p.wantNothing()
	q.wantNothing()

	t.Log("another node asks because its number has changed")
	b.other = appendRow(nil, row{name: "news", members: 4})
	asked := question{what: askCounts, changed: true, app: "app-id", name: joinTexts("another", []string{"news", "nobody-is-here"})}
	var said []row
	if err := readRows(e.r.Reply(asked.append(nil)), func(r row) { said = append(said, r) }); err != nil || !slices.Equal(said, []row{{"news", 2, 0}}) {
		t.Errorf("%+v %v", said, err)
	}
	e.tick(time.Second)
	p.wantRaw(countText("news", 6))
	q.wantRaw(countText("news", 6))

	t.Log("one that only wants to know changes nothing")
	b.other = appendRow(nil, row{name: "news", members: 9})
	asked.changed = false
	e.r.Reply(asked.append(nil))
	e.tick(time.Second)
	p.wantNothing()
	q.wantNothing()

	t.Log("a node has gone with its subscribers")
	b.other = nil
	b.to.Gone(false)
	e.tick(time.Second)
	p.wantRaw(countText("news", 2))
	q.wantRaw(countText("news", 2))

	t.Log("the others had taken this one for gone: they are to count again as well")
	b.to.Gone(true)
	if due := e.r.tally.take(); !due[LogKey("app-id", "news")] {
		t.Errorf("%v", due)
	}

	t.Log("a presence channel has its members, and no count")
	in := e.dial(0)
	in.joinedAs("presence-a", "1")
	b.to.Gone(true)
	e.tick(time.Second)
	in.wantNothing()
	in.drop()
	p.wantRaw(countText("news", 2))
	q.wantRaw(countText("news", 2))

	t.Log("while the broker is away nobody is told, and afterwards the sum")
	b.away = true
	q.drop()
	e.pump()
	e.tick(3 * time.Second)
	p.wantNothing()
	b.away = false
	e.tick(time.Second)
	p.wantRaw(countText("news", 1))

	t.Log("the last of this node tells the others")
	must0(t, p.unsubscribe("news"))
	e.pump()
	if due := e.r.tally.take(); !due[LogKey("app-id", "news")] {
		t.Errorf("%v", due)
	}
	e.checkEmpty()
}

func TestALargeCountOfAllNodesIsToldEveryFiveSeconds(t *testing.T) {
	b := newMemBroker()
	e := newEdge(t, 1, withBroker(b), withApp(counting), func(c *Config) { c.History = nil })
	p := e.dial(0)
	p.joined("news")
	b.other = appendRow(nil, row{name: "news", members: 200})
	e.tick(time.Second)
	p.wantRaw(countText("news", 201))
	q := e.dial(0)
	q.joined("news")
	e.tick(3 * time.Second)
	p.wantNothing()
	e.tick(2 * time.Second)
	p.wantRaw(countText("news", 202))
	q.wantRaw(countText("news", 202))
}
