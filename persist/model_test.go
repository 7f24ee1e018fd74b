package persist

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// model knows what was published and handed out, and judges a log by it.
type model struct {
	t testing.TB

	mu        sync.Mutex
	submitted map[string]map[string]bool // key -> body
	given     map[string][]given         // key -> what was handed out, in order
}

// given is one event as its publisher and the subscribers know it.
type given struct {
	body    string
	epoch   string
	start   uint64
	seq     uint64 // 0: without a seq
	payload string
	durable bool // acknowledged as durable
	rule    Rule
}

func newModel(t testing.TB) *model {
	return &model{t: t, submitted: map[string]map[string]bool{}, given: map[string][]given{}}
}

// item makes an event known and returns the item that tells the model of its end.
func (m *model) item(a Append, body string, done func(Result)) Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.submitted[a.Key] == nil {
		m.submitted[a.Key] = map[string]bool{}
	}
	m.submitted[a.Key][body] = true
	return &text{body: body, done: func(r Result) {
		if r.Err == nil {
			m.mu.Lock()
			m.given[a.Key] = append(m.given[a.Key], given{
				body: body, epoch: r.Epoch, start: r.Start, seq: r.Seq, payload: string(r.Payload),
				durable: a.asksDurable(), rule: a.Rule,
			})
			m.mu.Unlock()
		}
		done(r)
	}}
}

// publish appends one event and waits for its end.
func (m *model) publish(b *bench, a Append, body string) {
	m.t.Helper()
	ch := make(chan Result, 1)
	a.Item = m.item(a, body, func(r Result) { ch <- r })
	if err := b.log.Append([]Append{a}); err != nil {
		return
	}
	select {
	case <-ch:
	case <-time.After(20 * time.Second):
		m.t.Fatalf("%s of %q was not done", body, a.Key)
	}
}

// copy is the model as it is now.
func (m *model) copy() *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newModel(m.t)
	for k, v := range m.submitted {
		c.submitted[k] = map[string]bool{}
		for body := range v {
			c.submitted[k][body] = true
		}
	}
	for k, v := range m.given {
		c.given[k] = v[:len(v):len(v)]
	}
	return c
}

// check judges the log of b. It takes the part of every client that there could be:
// one for each event that was handed out, which had seen everything up to it.
func (m *model) check(b *bench, what string) {
	m.t.Helper()
	m.judge(b, what, false)
}

// checkDurable is check for a directory that may have lost what was not synced.
func (m *model) judge(b *bench, what string, damaged bool) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	fail := func(format string, args ...any) {
		m.t.Helper()
		m.t.Fatalf("%s: %s", what, fmt.Sprintf(format, args...))
	}
	for key, bodies := range m.submitted {
		p, err := b.log.Load(key)
		if err != nil {
			fail("load %q: %v", key, err)
		}
		kept := map[string]uint64{}
		last := uint64(0)
		b.log.History(key, standard, 0, false, "", 1_000_000, func(e Event) bool {
			body, seq, ok := strings.Cut(string(e.Payload), "#")
			if !ok || !bodies[body] || seq != fmt.Sprint(e.Seq) {
				fail("%q seq %d holds %q, which nobody published", key, e.Seq, e.Payload)
			}
			if _, twice := kept[body]; twice || e.Seq <= last || e.Seq > p.Seq {
				fail("%q: %q at seq %d comes twice or out of order (head %+v)", key, body, e.Seq, p)
			}
			kept[body], last = e.Seq, e.Seq
			return true
		})
		given := m.given[key]
		for i, g := range given {
			if seq, ok := kept[g.body]; g.durable && g.seq > 0 && !damaged && (!ok || seq != g.seq) {
				fail("%q: durable %q, acknowledged with seq %d, is not in history %v (head %+v)", key, g.body, g.seq, kept, p)
			}
			if g.seq == 0 {
				continue
			}
			now, reason := b.log.Recover(key, standard, g.epoch, g.seq, 1_000_000)
			if reason == ReasonAhead && now.Epoch == g.epoch {
				fail("%q: a client at %s:%d is ahead of %+v", key, g.epoch, g.seq, now)
			}
			if reason != ReasonOK {
				continue
			}
			// Everything that was handed out after it must come now, and in this order.
			got := b.read(key, g.seq, now.Seq)
			at := 0
			for _, later := range given[i+1:] {
				want := later.payload
				for at < len(got) && got[at] != want {
					at++
				}
				if at == len(got) {
					fail("%q: a client at %s:%d is told that it recovers and misses %+v; it gets %q", key, g.epoch, g.seq, later, got)
				}
			}
		}
	}
}
