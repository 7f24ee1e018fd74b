package routertest

import (
	"slices"
	"testing"

	"github.com/holdfast-edge/holdfast/router"
)

var numberSentences = []sentence{
	{"numbers/a channel stands before its first event", firstPosition},
	{"numbers/the epoch stays while nobody follows", epochStays},
	{"numbers/without history there are none", unnumbered},
	{"numbers/a rule that begins to keep begins to number", beginsToKeep},
	{"numbers/an epoch that ended is not recovered from", epochEnds},
	{"numbers/an origin is handed out with its event", origins},
	{"numbers/what is passed over when a rule begins to keep is told", ruleBegins},
}

func firstPosition(t *testing.T, c *Cluster) {
	at := c.last().follow(news)
	if at.Epoch == "" || at.Seq != 0 || at.Broken {
		t.Fatalf("a channel without events stands at %+v", at)
	}
	for _, n := range c.Nodes {
		if loaded, err := n.log.Load(news); err != nil || loaded != at {
			t.Errorf("on %s it stands at %+v, %v", n.name, loaded, err)
		}
		if head, reason := n.log.Recover(news, standard, at.Epoch, 0, 10); reason != "" || head != at {
			t.Errorf("who missed nothing of it is answered %q at %+v", reason, head)
		}
	}
	e := c.first().publish(news, say("first"))[0]
	if e.res.Seq != 1 || e.res.Epoch != at.Epoch || e.res.Start != at.Start {
		t.Errorf("its first event is %+v, and it stood at %+v", e.res, at)
	}
	c.last().wantOut(news, e)
}

func epochStays(t *testing.T, c *Cluster) {
	n := c.last()
	n.follow(news)
	e := c.first().publish(news, says("before", 3)...)[2]
	n.waitOut(news, 3)
	if n.broker != nil {
		n.broker.Unfollow(news)
	}
	unseen := c.first().publish(news, say("unseen"))[0]
	at := n.follow(news)
	if at.Epoch != e.res.Epoch || at.Seq < 3 || at.Seq > 4 {
		t.Errorf("it stood at %+v, and stands at %+v", e.res, at)
	}
	seen := c.first().publish(news, say("seen"))[0]
	if seen.res.Epoch != e.res.Epoch || seen.res.Seq != 5 || unseen.res.Seq != 4 {
		t.Errorf("%+v and %+v follow %+v", unseen.res, seen.res, e.res)
	}
	wait(t, "the event after it", func() bool {
		got := n.handedOut(news)
		return got[len(got)-1].Seq == 5
	})
}

func unnumbered(t *testing.T, c *Cluster) {
	c.setRule(news, router.Rule{})
	c.follow(news)
	events := []*event{}
	for i := range 6 {
		events = append(events, c.node(i).publish(news, say("%d", i))...)
	}
	c.wantOut(news, events...)
	for _, e := range events {
		if e.res.Seq != 0 || e.res.Epoch != "" {
			t.Errorf("%+v", e.res)
		}
	}
	if _, reason := c.last().log.Recover(news, router.Rule{}, "", 0, 10); reason != router.ReasonOff {
		t.Errorf("recover: %q", reason)
	}
}

func beginsToKeep(t *testing.T, c *Cluster) {
	c.setRule(news, router.Rule{})
	c.follow(news)
	without := c.first().publish(news, say("without"))
	c.wantOut(news, without...)
	c.setRule(news, standard)
	if c.Reload != nil {
		c.Reload()
		c.follow(news) // returns when the node has read where the channel stands
	}
	with := c.first().publish(news, says("with", 3)...)
	c.wantOut(news, append(without, inOrder(t, with)...)...)
	c.last().wantMissed(news, standard, with[0].res.Epoch, 0, with)
}

// epochEnds: that something was lost in between can no longer be ruled out.
func epochEnds(t *testing.T, c *Cluster) {
	if c.Renew == nil {
		t.Skip("this cluster cannot be renewed")
	}
	c.follow(news)
	before := c.first().publish(news, says("before", 5)...)
	c.wantOut(news, before...)
	former := before[0].res.Epoch
	unfollowed := c.first().publish(other, say("before"))[0].res.Epoch
	c.Renew()
	if e := c.first().publish(other, say("after"))[0]; e.res.Epoch == unfollowed {
		t.Errorf("a channel that nobody asked for goes on in its epoch: %+v", e.res)
	}
	for _, n := range c.Nodes {
		wait(t, n.name+" knows of the new epoch", func() bool {
			at, err := n.log.Load(news)
			return err == nil && at.Epoch != former
		})
	}
	at := c.last().follow(news)
	for _, n := range c.Nodes {
		wait(t, n.name+" is told that the epoch has ended", func() bool { return n.broker == nil || n.stoodAt(news, at) })
	}
	after := c.first().publish(news, says("after", 3)...)
	for i, e := range after {
		if e.res.Epoch != at.Epoch || e.res.Start != at.Start || e.res.Seq != at.Seq+uint64(i)+1 {
			t.Errorf("%+v: it stood at %+v", e.res, at)
		}
	}
	for _, n := range c.Nodes {
		got := n.waitOut(news, len(before)+len(after))
		for i, e := range got[len(got)-len(after):] {
			if e.Epoch != at.Epoch || e.Seq != after[i].res.Seq || string(e.Text) != after[i].text {
				t.Errorf("%s hands out %+v, want %+v", n.name, e, after[i].res)
			}
		}
		for _, from := range []uint64{0, 4, 5, 6} {
			if _, reason := n.log.Recover(news, standard, former, from, 1000); reason != router.ReasonEpoch {
				t.Errorf("%s recovers from %d of the former epoch: %q", n.name, from, reason)
			}
		}
		n.wantMissed(news, standard, at.Epoch, at.Seq, after)
		if at.Start > 0 {
			n.wantBefore(at)
		}
	}
}

// wantBefore: what is in front of an epoch is not recovered, and history is read on over its
// beginning.
func (n *Node) wantBefore(at router.Position) {
	n.t.Helper()
	if _, reason := n.log.Recover(news, standard, at.Epoch, at.Start-1, 1000); reason != router.ReasonEpoch {
		n.t.Errorf("%s recovers from in front of the epoch: %q", n.name, reason)
	}
	var seqs []uint64
	page, _, reason := n.history(news, standard, "", 0, true, 2)
	for reason == "" && len(page) > 0 {
		for _, e := range page {
			seqs = append(seqs, e.Seq)
		}
		page, _, reason = n.history(news, standard, at.Epoch, seqs[len(seqs)-1], false, 2)
	}
	if reason != "" || seqs[0] > at.Start || !slices.IsSorted(seqs) || seqs[len(seqs)-1] != at.Seq+3 {
		n.t.Errorf("%s reads %v, %q, over the epoch that began at %d", n.name, seqs, reason, at.Start)
	}
}

func origins(t *testing.T, c *Cluster) {
	for _, rule := range []router.Rule{standard, {}} {
		key := news
		if rule.Events == 0 {
			key = other
		}
		c.setRule(key, rule)
		c.follow(key)
		events := []*event{c.first().event(key, say("for all")), c.first().event(key, say("for others"))}
		events[1].Origin = "8137.4592"
		c.first().must(events...)
		c.wantOut(key, events...)
	}
}

func ruleBegins(t *testing.T, c *Cluster) {
	c.setRule(news, router.Rule{})
	c.follow(news)
	before := c.first().publish(news, say("without"))
	c.wantOut(news, before...)
	c.setRule(news, standard)
	if c.Reload != nil {
		c.Reload()
	}
	numbered := c.first().publish(news, says("with", 3)...)
	last := c.first().publish(news, say("last"))[0]
	for _, n := range c.Nodes {
		var got []router.Received
		wait(t, n.name+" hands the last one out, or was told that it stands there", func() bool {
			got = n.handedOut(news)[len(before):]
			return len(got) > 0 && got[len(got)-1].Seq == last.res.Seq || n.stoodAt(news, router.Position{Epoch: last.res.Epoch, Start: last.res.Start, Seq: last.res.Seq})
		})
		// What it passed over was counted by the position that it was told.
		for i, e := range got {
			want := append(numbered, last)[e.Seq-1]
			if string(e.Text) != want.text || i > 0 && e.Seq != got[i-1].Seq+1 {
				t.Errorf("%s hands out %+v", n.name, got)
			}
		}
		if len(got) > 0 && got[0].Seq > 1 && !n.stoodAt(news, router.Position{Epoch: last.res.Epoch, Start: last.res.Start, Seq: got[0].Seq - 1}) {
			t.Errorf("%s passes over what is in front of %d and was not told: %+v", n.name, got[0].Seq, n.stood[news])
		}
	}
}
