package routertest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
)

var recoverSentences = []sentence{
	{"recover/each position has its answer", recoverAnswers},
	{"recover/the rule decides when it is asked", ruleWhenAsked},
	{"recover/what was published is there at once on every node", recoverAtOnce},
	{"recover/blocks hold the frames and origins as they were published", blocks},
	{"recover/from every position exactly what came after it", everyPosition},
	{"recover/the same question has the same answer", askedTwice},
}

// frames is what these events are stored as, one behind the other.
func frames(events ...*event) []byte {
	var all []byte
	for _, e := range events {
		all = router.AppendStored(all, []byte(e.text), e.res.Seq)
	}
	return all
}

// missed reads the events from one number to another as a replay does: from memory where
// that is enough.
func (n *Node) missed(key string, from, to uint64) []byte {
	n.t.Helper()
	var all []byte
	for at := from; at <= to; {
		b := n.log.Hot(key, at)
		if b == nil {
			var err error
			if b, err = n.log.Block(key, at); err != nil {
				n.t.Fatalf("%s: block of %d: %v", n.name, at, err)
			}
		}
		first, last := b.Span()
		if at < first || at > last {
			n.t.Fatalf("%s: the block of %d has %d to %d", n.name, at, first, last)
		}
		last = min(last, to)
		all = append(all, b.Frames(at, last)...)
		at = last + 1
	}
	return all
}

// wantMissed recovers after a position and wants exactly these events.
func (n *Node) wantMissed(key string, rule router.Rule, epoch string, from uint64, want []*event) {
	n.t.Helper()
	at, reason := n.log.Recover(key, rule, epoch, from, 1000)
	if reason != "" || at.Epoch != epoch || at.Seq != from+uint64(len(want)) {
		n.t.Fatalf("%s recovers from %s:%d: %q at %+v, %d were missed", n.name, epoch, from, reason, at, len(want))
	}
	if got := n.missed(key, from+1, at.Seq); !bytes.Equal(got, frames(want...)) {
		n.t.Fatalf("%s recovers from %d: %.300q, want %.300q", n.name, from, got, frames(want...))
	}
}

// publishMany publishes so many events, in batches, on one node after the other.
func (c *Cluster) publishMany(key string, many int) (all []*event) {
	c.t.Helper()
	for i := 0; len(all) < many; i++ {
		n := c.node(i)
		var batch []*event
		for range min(10, many-len(all)) {
			batch = append(batch, n.event(key, say("%d", len(all)+len(batch)+1)))
		}
		n.must(batch...)
		all = append(all, batch...)
	}
	return all
}

func recoverAnswers(t *testing.T, c *Cluster) {
	const head, kept = 150, 100
	rule := standard
	rule.Events = kept
	c.setRule(news, rule)
	n := c.last()
	n.follow(news)
	epoch := c.publishMany(news, head)[0].res.Epoch
	hidden, none := rule, router.Rule{}
	hidden.Replay = false
	for name, k := range map[string]struct {
		rule  router.Rule
		epoch string
		from  uint64
		most  int
		want  string
	}{
		"at the head":                         {rule, epoch, head, 1000, ""},
		"one behind":                          {rule, epoch, head - 1, 1000, ""},
		"one behind, none may be replayed":    {rule, epoch, head - 1, 0, router.ReasonTooMany},
		"the oldest that is kept":             {rule, epoch, head - kept, 1000, ""},
		"one older":                           {rule, epoch, head - kept - 1, 1000, router.ReasonExpired},
		"none of it":                          {rule, epoch, 0, 1000, router.ReasonExpired},
		"as many as may be replayed":          {rule, epoch, head - 40, 40, ""},
		"one more":                            {rule, epoch, head - 41, 40, router.ReasonTooMany},
		"more, and older than what is kept":   {rule, epoch, 0, 40, router.ReasonExpired},
		"beyond the head":                     {rule, epoch, head + 1, 1000, router.ReasonAhead},
		"far beyond the head":                 {rule, epoch, 1<<53 - 1, 1000, router.ReasonAhead},
		"of another epoch":                    {rule, "otherepoch12", head - 1, 1000, router.ReasonEpoch},
		"of another epoch, at the head":       {rule, "otherepoch12", head, 1000, router.ReasonEpoch},
		"of another epoch, beyond the head":   {rule, "otherepoch12", head + 1, 1000, router.ReasonEpoch},
		"of no epoch":                         {rule, "", head, 1000, router.ReasonEpoch},
		"hidden from those who were not here": {hidden, epoch, head - 1, 1000, router.ReasonOff},
		"without history":                     {none, epoch, head - 1, 1000, router.ReasonOff},
	} {
		t.Run(name, func(t *testing.T) {
			at, reason := n.log.Recover(news, k.rule, k.epoch, k.from, k.most)
			if reason != k.want {
				t.Errorf("%q, want %q", reason, k.want)
			}
			if k.want != router.ReasonOff && (at.Epoch != epoch || at.Seq != head || at.Start > 0 || at.Broken) {
				t.Errorf("the channel stands at %+v", at)
			}
		})
	}
}

// ruleWhenAsked: what is kept by events, by age, by bytes. How much beside its text counts
// of an event is the log's own affair, so the events here are large.
func ruleWhenAsked(t *testing.T, c *Cluster) {
	n := c.last()
	n.follow(news)
	large := func(from, to int) (texts []string) {
		for i := from; i <= to; i++ {
			texts = append(texts, say("%d %s", i, strings.Repeat("x", 1000)))
		}
		return texts
	}
	const gap = 600 * time.Millisecond
	epoch := c.first().publish(news, large(1, 6)...)[0].res.Epoch
	c.Pass(gap)
	younger := c.Now()
	c.first().publish(news, large(7, 10)...)

	for name, k := range map[string]struct {
		change func(*router.Rule)
		oldest uint64 // position that recovers
	}{
		"all of it":       {func(*router.Rule) {}, 0},
		"by events":       {func(r *router.Rule) { r.Events = 3 }, 7},
		"by fewer events": {func(r *router.Rule) { r.Events = 1 }, 9},
		"by age":          {func(r *router.Rule) { r.Age = c.Now().Sub(younger) + gap/2 }, 6},
		"by a short age":  {func(r *router.Rule) { r.Age = time.Nanosecond; c.Pass(5 * time.Millisecond) }, 10},
		"by bytes":        {func(r *router.Rule) { r.Bytes = 3600 }, 7},
		"by few bytes":    {func(r *router.Rule) { r.Bytes = 10 }, 10},
		"the first of":    {func(r *router.Rule) { r.Events, r.Bytes = 2, 3600 }, 8},
	} {
		t.Run(name, func(t *testing.T) {
			look := func() (faults []error) {
				rule := standard
				k.change(&rule)
				for from := range uint64(11) {
					want := ""
					if from < k.oldest {
						want = router.ReasonExpired
					}
					if _, got := n.log.Recover(news, rule, epoch, from, 1000); got != want {
						faults = append(faults, fmt.Errorf("recover from %d: %q, want %q", from, got, want))
					}
				}
				if _, from := n.log.Rewind(news, rule, 100, 0); from != k.oldest {
					faults = append(faults, fmt.Errorf("a rewind begins at %d, want %d", from, k.oldest))
				}
				if rule.Bytes < standard.Bytes {
					return faults // history/what the bytes of a rule keep
				}
				if _, oldest, _ := n.log.History(news, rule, "", 0, true, 1, func(router.LogEvent) bool { return true }); oldest != k.oldest+1 {
					faults = append(faults, fmt.Errorf("the oldest is %d, want %d", oldest, k.oldest+1))
				}
				return faults
			}
			// An age is counted from the look on: one that took too long looks again.
			for {
				began := c.Now()
				faults := look()
				if c.Now().Sub(began) > gap/2 {
					continue
				}
				if err := errors.Join(faults...); err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
}

// recoverAtOnce: a client may know of an event that has not come to its own node.
func recoverAtOnce(t *testing.T, c *Cluster) {
	c.follow(news)
	var all []*event
	for i := range 60 {
		all = append(all, c.node(i).publish(news, say("%d", i+1))...)
		from := max(0, i-2)
		c.node(i+1).wantMissed(news, standard, all[0].res.Epoch, uint64(from), all[from:])
	}
}

func blocks(t *testing.T, c *Cluster) {
	const head = 200
	var all []*event
	for i := 0; i < head; i += 20 {
		var batch []*event
		for k := range 20 {
			e := c.node(i).event(news, say("%d %s", i+k+1, strings.Repeat("y", (i+k)%70)))
			if (i+k)%3 == 0 {
				e.Origin = fmt.Sprintf("%d.%d", i, k)
			}
			batch = append(batch, e)
		}
		c.node(i).must(batch...)
		all = append(all, batch...)
	}
	c.follow(news)
	for _, n := range c.Nodes {
		for seq := uint64(1); seq <= head; seq++ {
			read, err := n.log.Block(news, seq)
			if err != nil {
				t.Fatalf("%s: %d: %v", n.name, seq, err)
			}
			for _, b := range []router.LogBlock{read, n.log.Hot(news, seq)} {
				if b == nil {
					continue // memory is not enough
				}
				first, last := b.Span()
				if seq < first || seq > last || first == 0 || last > head {
					t.Fatalf("%s: the block of %d has %d to %d", n.name, seq, first, last)
				}
				if got, want := b.Frames(first, last), frames(all[first-1:last]...); !bytes.Equal(got, want) {
					t.Fatalf("%s: %d to %d: %.300q, want %.300q", n.name, first, last, got, want)
				}
				if got, want := b.Frames(seq, seq), frames(all[seq-1]); !bytes.Equal(got, want) {
					t.Fatalf("%s: %d: %q, want %q", n.name, seq, got, want)
				}
				if got := b.Origin(seq); got != all[seq-1].Origin {
					t.Fatalf("%s: %d was not for %q, want %q", n.name, seq, got, all[seq-1].Origin)
				}
			}
		}
		for key, seq := range map[string]uint64{news: head + 1, other: 1} {
			if b, err := n.log.Block(key, seq); !errors.Is(err, router.ErrGone) {
				t.Errorf("%s: a block of %q that holds %d: %v, %v", n.name, key, seq, b, err)
			}
			if b := n.log.Hot(key, seq); b != nil {
				t.Errorf("%s: memory has a block of %q that holds %d", n.name, key, seq)
			}
		}
	}
}

// beside is the most that a log counts of an event beside its text, in bytes.
const beside = 128

// everyPosition: for every position that there is, recovering and reading gives exactly
// what came after it, or the reason that the rule has.
func everyPosition(t *testing.T, c *Cluster) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	t.Logf("HOLDFAST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	const channels, each = 3, 250
	keys, all := []string{}, map[string][]*event{}
	for i := range channels {
		key := router.LogKey("app", fmt.Sprint("c", i))
		keys = append(keys, key)
		c.setRule(key, router.Rule{Events: 1 + rng.IntN(each), Age: time.Hour, Bytes: int64(5_000 + rng.IntN(100_000)), Replay: true})
		c.follow(key)
	}
	for short := true; short; {
		n := c.Nodes[rng.IntN(len(c.Nodes))]
		var batch []*event
		short = false
		for _, key := range keys {
			if len(all[key]) >= each {
				continue
			}
			short = true
			for range rng.IntN(30) {
				body := strings.Repeat("x", rng.IntN(160))
				if rng.IntN(200) == 0 {
					body = strings.Repeat("y", rng.IntN(20_000))
				}
				batch = append(batch, n.event(key, say("%d %s", rng.Uint32(), body)))
			}
		}
		rng.Shuffle(len(batch), func(i, k int) { batch[i], batch[k] = batch[k], batch[i] })
		if len(batch) == 0 {
			continue
		}
		n.must(batch...)
		for _, e := range batch {
			all[e.Key] = append(all[e.Key], e)
		}
	}
	for _, key := range keys {
		c.wantOut(key, inOrder(t, all[key])...)
		c.wantEveryPosition(key, all[key])
	}
}

// wantEveryPosition asks one node after the other.
func (c *Cluster) wantEveryPosition(key string, events []*event) {
	c.t.Helper()
	epoch, least, most := events[0].res.Epoch, int64(0), int64(0)
	for from := len(events); from >= 0; from-- {
		n, missed := c.node(from/5), events[from:]
		rule := n.RuleOf(key)
		if len(missed) > 0 {
			least += int64(len(missed[0].text))
			most += int64(len(missed[0].text) + beside)
		}
		at, reason := n.log.Recover(key, rule, epoch, uint64(from), len(events))
		kept := len(missed) <= rule.Events && (most <= rule.Bytes || reason == "" && least <= rule.Bytes)
		if want := map[bool]string{true: "", false: router.ReasonExpired}[kept]; reason != want || at.Seq != uint64(len(events)) {
			c.t.Fatalf("%s: %q from %d of %d, %d to %d bytes: %q at %+v, rule %+v", n.name, key, from, len(events), least, most, reason, at, rule)
		}
		if kept && !bytes.Equal(n.missed(key, uint64(from)+1, at.Seq), frames(missed...)) {
			c.t.Fatalf("%s: %q from %d of %d: other events than were published", n.name, key, from, len(events))
		}
	}
}

func askedTwice(t *testing.T, c *Cluster) {
	n := c.last()
	n.follow(news)
	all := c.publishMany(news, 10)
	for beside := range int64(40) {
		rule := standard
		rule.Bytes = 0
		for _, e := range all {
			rule.Bytes += int64(len(e.text)) + beside
		}
		_, first := n.log.Recover(news, rule, all[0].res.Epoch, 0, 100)
		_, second := n.log.Recover(news, rule, all[0].res.Epoch, 0, 100)
		if _, from := n.log.Rewind(news, rule, 100, 0); first != second || (from == 0) != (second == "") {
			t.Errorf("%d bytes beside each text: recover %q, then %q; a rewind begins at %d", beside, first, second, from)
		}
	}
}
