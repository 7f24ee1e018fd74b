package routertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/router"
)

var followSentences = []sentence{
	{"follow/a channel that was loaded is followed", loadedIsFollowed},
	{"follow/who does not follow is handed nothing", notFollowed},
	{"relay/a client's event reaches the other nodes and not its own", relay},
	{"tell/every node that follows is told", tell},
	{"ask/every node answers", ask},
}

// loadedIsFollowed: between the question for the head and Follow nothing is missed.
func loadedIsFollowed(t *testing.T, c *Cluster) {
	n := c.last()
	if _, err := n.log.Load(news); err != nil {
		t.Fatal(err)
	}
	events := c.first().publish(news, says("after", 3)...)
	n.wantOut(news, events...)
	if at, resident := n.log.Head(news); !resident || at.Seq != 3 {
		t.Errorf("%+v %v", at, resident)
	}
	n.broker.Follow(news)
	n.wantOut(news, append(events, c.first().publish(news, say("more"))...)...)
}

func notFollowed(t *testing.T, c *Cluster) {
	c.follow(other)
	for range 10 {
		c.first().publish(news, say("news"))
	}
	c.wantOut(other, c.first().publish(other, say("other"))...)
	for _, n := range c.Nodes {
		if got := n.handedOut(news); len(got) != 0 {
			t.Errorf("%s: %+v", n.name, got)
		}
		if _, resident := n.log.Head(news); resident {
			t.Errorf("%s can tell where a channel stands that nobody asked for", n.name)
		}
	}
}

func relay(t *testing.T, c *Cluster) {
	c.follow(news)
	for _, sender := range c.Nodes {
		text := `{"event":"client-x","channel":"news","data":"` + sender.name + `"}`
		if err := sender.broker.Relay(news, []byte(text)); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes {
			if n == sender {
				continue
			}
			wait(t, n.name+" has the client's event", func() bool {
				return slices.ContainsFunc(n.handedOut(news), func(e router.Received) bool { return string(e.Text) == text })
			})
		}
	}
	e := c.first().publish(news, say("after"))[0]
	if e.res.Seq != 1 {
		t.Errorf("a client's event has taken a place: %+v", e.res)
	}
	for _, n := range c.Nodes {
		for i, got := range n.waitOut(news, len(c.Nodes)) {
			if got.Client == (string(got.Text) == e.text) || got.Client && (got.Seq != 0 || strings.Contains(string(got.Text), n.name)) {
				t.Errorf("%s, as number %d: %+v %s", n.name, i+1, got, got.Text)
			}
		}
	}
}

func tell(t *testing.T, c *Cluster) {
	c.follow(news)
	var want []string
	for _, n := range c.Nodes {
		if err := n.broker.Tell(news, "terminate "+n.name); err != nil {
			t.Fatal(err)
		}
		want = append(want, news+" terminate "+n.name)
		for _, hears := range c.Nodes {
			wait(t, hears.name+" is told", func() bool {
				hears.mu.Lock()
				defer hears.mu.Unlock()
				return slices.Equal(hears.told, want)
			})
		}
	}
}

func ask(t *testing.T, c *Cluster) {
	for _, n := range c.Nodes {
		answers, err := n.broker.Ask([]byte("who?"))
		if err != nil {
			t.Fatalf("%s asks: %v", n.name, err)
		}
		var got, want []string
		for _, a := range answers {
			got = append(got, string(a))
		}
		for _, answers := range c.Nodes {
			want = append(want, answers.name+" who?")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s is answered %q, want %q", n.name, got, want)
		}
	}
}
