package routertest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

var historySentences = []sentence{
	{"rewind/each number of events has its position", rewinds},
	{"rewind/an age has its position", rewindsByAge},
	{"history/each page has its events, its oldest and its reason", histories},
	{"history/pages join without a hole", historyPages},
	{"history/a visitor may end it", historyEnds},
	{"history/what the bytes of a rule keep", historyBytes},
	{"history/of a channel without events there is none", historyOfNothing},
	{"rewind/hidden from those who were not here", rewindHidden},
	{"rewind/an age has no other bound than the rule", rewindFar},
	{"history/without history it is off", historyOff},
	{"history/the bytes of a rule decide when it is asked", historyBytesWhenAsked},
}

func rewinds(t *testing.T, c *Cluster) {
	const head, kept = 150, 100
	rule := standard
	rule.Events = kept
	c.setRule(news, rule)
	n := c.last()
	if at := n.follow(other); at.Seq != 0 {
		t.Fatal(at)
	}
	n.follow(news)
	all := c.publishMany(news, head)
	for events, want := range map[int]uint64{1: head - 1, 10: head - 10, kept: head - kept, kept + 1: head - kept, 1000: head - kept} {
		at, from := n.log.Rewind(news, rule, events, 0)
		if from != want || at.Seq != head || at.Epoch != all[0].res.Epoch || at.Broken {
			t.Errorf("a rewind by %d begins at %d, want %d; the channel stands at %+v", events, from, want, at)
		}
		if got := n.missed(news, from+1, at.Seq); !bytes.Equal(got, frames(all[from:]...)) {
			t.Errorf("after a rewind by %d: %.300q", events, got)
		}
	}
	if at, from := n.log.Rewind(other, standard, 10, 0); from != 0 || at.Seq != 0 || at.Epoch == "" {
		t.Errorf("a rewind of a channel without events begins at %d, and it stands at %+v", from, at)
	}
	if at, from := n.log.Rewind(news, router.Rule{}, 10, 0); from != at.Seq {
		t.Errorf("a rewind without history begins at %d of %+v", from, at)
	}
}

func rewindsByAge(t *testing.T, c *Cluster) {
	const gap = 600 * time.Millisecond
	n := c.last()
	n.follow(news)
	c.first().publish(news, says("older", 4)...)
	c.Pass(gap)
	younger := c.Now()
	c.first().publish(news, says("younger", 6)...)
	for {
		began := c.Now()
		age := began.Sub(younger) + gap/2
		at, from := n.log.Rewind(news, standard, 0, age)
		if c.Now().Sub(began) > gap/2 {
			continue // an age is counted from the look on
		}
		if from != 4 || at.Seq != 10 {
			t.Errorf("a rewind by %s begins at %d of %+v, want 4", age, from, at)
		}
		break
	}
	c.Pass(5 * time.Millisecond)
	if _, from := n.log.Rewind(news, standard, 0, time.Millisecond); from != 10 {
		t.Errorf("a rewind to when nothing came begins at %d", from)
	}
	if _, from := n.log.Rewind(news, standard, 0, time.Hour); from != 0 {
		t.Errorf("a rewind by an hour begins at %d", from)
	}
}

// history reads a page of it.
func (n *Node) history(key string, rule router.Rule, epoch string, from uint64, all bool, limit int) (events []router.LogEvent, oldest uint64, reason string) {
	_, oldest, reason = n.log.History(key, rule, epoch, from, all, limit, func(e router.LogEvent) bool {
		events = append(events, e)
		return true
	})
	return events, oldest, reason
}

func histories(t *testing.T, c *Cluster) {
	const head, kept = 150, 100
	rule := standard
	rule.Events = kept
	c.setRule(news, rule)
	n := c.last()
	n.follow(news)
	began := c.Now()
	published := c.publishMany(news, head)
	ended := c.Now()
	epoch := published[0].res.Epoch
	for name, k := range map[string]struct {
		epoch       string
		from        uint64
		all         bool
		limit       int
		first, last uint64 // 0 = no events
		reason      string
	}{
		"from the oldest on":        {"", 0, true, 3, 51, 53, ""},
		"from the oldest, all":      {"", 0, true, 1000, 51, 150, ""},
		"after the oldest position": {epoch, 50, false, 1000, 51, 150, ""},
		"after a position":          {epoch, 100, false, 7, 101, 107, ""},
		"fewer than the limit":      {epoch, 148, false, 100, 149, 150, ""},
		"as many as the limit":      {epoch, 148, false, 2, 149, 150, ""},
		"at the head":               {epoch, 150, false, 100, 0, 0, ""},
		"beyond the head":           {epoch, 151, false, 100, 0, 0, router.ReasonAhead},
		"older than what is kept":   {epoch, 49, false, 100, 0, 0, router.ReasonExpired},
		"of another epoch":          {"otherepoch12", 100, false, 100, 0, 0, router.ReasonEpoch},
	} {
		t.Run(name, func(t *testing.T) {
			events, oldest, reason := n.history(news, rule, k.epoch, k.from, k.all, k.limit)
			if reason != k.reason || oldest != head-kept+1 {
				t.Errorf("%q, the oldest is %d, want %q and %d", reason, oldest, k.reason, head-kept+1)
			}
			if k.first == 0 && len(events) > 0 || k.first > 0 && uint64(len(events)) != k.last-k.first+1 {
				t.Fatalf("%d events, want %d to %d", len(events), k.first, k.last)
			}
			for i, e := range events {
				seq := k.first + uint64(i)
				if e.Seq != seq || !bytes.Equal(e.Payload, frames(published[seq-1])) {
					t.Errorf("%d is %d %q", seq, e.Seq, e.Payload)
				}
				if e.TimeMS < began.UnixMilli() || e.TimeMS > ended.UnixMilli() {
					t.Errorf("%d is of %d, which is not between %d and %d", seq, e.TimeMS, began.UnixMilli(), ended.UnixMilli())
				}
			}
		})
	}
}

func historyPages(t *testing.T, c *Cluster) {
	n := c.last()
	n.follow(news)
	published := c.publishMany(news, 150)
	epoch := published[0].res.Epoch
	var got []byte
	page, _, reason := n.history(news, standard, "", 0, true, 33)
	for reason == "" && len(page) > 0 {
		for _, e := range page {
			got = append(got, e.Payload...)
		}
		page, _, reason = n.history(news, standard, epoch, page[len(page)-1].Seq, false, 33)
	}
	if reason != "" || !bytes.Equal(got, frames(published...)) {
		t.Errorf("%q after %d bytes, want %d", reason, len(got), len(frames(published...)))
	}
}

func historyEnds(t *testing.T, c *Cluster) {
	n := c.last()
	n.follow(news)
	c.publishMany(news, 20)
	var seqs []uint64
	_, _, reason := n.log.History(news, standard, "", 0, true, 100, func(e router.LogEvent) bool {
		seqs = append(seqs, e.Seq)
		return len(seqs) < 3
	})
	if !slices.Equal(seqs, []uint64{1, 2, 3}) || reason != "" {
		t.Errorf("%v %q", seqs, reason)
	}
}

// historyBytes: under the rule with which the events were published.
func historyBytes(t *testing.T, c *Cluster) {
	rule := standard
	rule.Bytes = 3600
	c.setRule(news, rule)
	n := c.last()
	n.follow(news)
	for i := range 10 {
		c.node(i).publish(news, say("%d %s", i+1, strings.Repeat("x", 1000)))
	}
	events, oldest, reason := n.history(news, rule, "", 0, true, 100)
	if oldest != 8 || len(events) != 3 || reason != "" {
		t.Errorf("%d events, the oldest is %d, %q", len(events), oldest, reason)
	}
}

func historyOfNothing(t *testing.T, c *Cluster) {
	n := c.last()
	at := n.follow(news)
	for _, all := range []bool{true, false} {
		if events, oldest, reason := n.history(news, standard, at.Epoch, 0, all, 10); len(events) != 0 || oldest != 1 || reason != "" {
			t.Errorf("all %v: %d events, the oldest is %d, %q", all, len(events), oldest, reason)
		}
	}
}

func rewindHidden(t *testing.T, c *Cluster) {
	n := c.last()
	n.follow(news)
	c.publishMany(news, 10)
	hidden := standard
	hidden.Replay = false
	if at, from := n.log.Rewind(news, hidden, 5, 0); from != at.Seq {
		t.Errorf("it begins at %d of %+v", from, at)
	}
}

func rewindFar(t *testing.T, c *Cluster) {
	c.setRule(news, plenty)
	n := c.last()
	n.follow(news)
	c.publishMany(news, 1500)
	if at, from := n.log.Rewind(news, plenty, 0, time.Hour); from != 0 {
		t.Errorf("it begins at %d of %+v", from, at)
	}
}

func historyOff(t *testing.T, c *Cluster) {
	n := c.last()
	at := n.follow(news)
	c.publishMany(news, 10)
	for _, all := range []bool{true, false} {
		if _, oldest, reason := n.history(news, router.Rule{}, at.Epoch, 5, all, 5); reason != router.ReasonOff {
			t.Errorf("all %v: %q, the oldest is %d", all, reason, oldest)
		}
	}
}

func historyBytesWhenAsked(t *testing.T, c *Cluster) {
	n := c.last()
	at := n.follow(news)
	c.publishMany(news, 10)
	few := standard
	few.Bytes = 150
	_, reason := n.log.Recover(news, few, at.Epoch, 0, 100)
	if _, oldest, _ := n.history(news, few, "", 0, true, 100); oldest < 7 || reason != router.ReasonExpired {
		t.Errorf("recover from the beginning: %q, and the oldest is %d", reason, oldest)
	}
}
