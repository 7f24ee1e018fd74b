package persist

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"
)

// model knows what was published and handed out, and judges a log by it.
type model struct {
	t     testing.TB
	rule  Rule                        // with which it reads
	known func(key, body string) bool // nil: what was submitted
	at    func() int                  // nil, or the moment of an event's end

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
	at      int
}

func newModel(t testing.TB) *model {
	return &model{t: t, rule: standard, submitted: map[string]map[string]bool{}, given: map[string][]given{}}
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
			g := given{
				body: body, epoch: r.Epoch, start: r.Start, seq: r.Seq, payload: string(r.Payload),
				durable: a.asksDurable(),
			}
			if m.at != nil {
				g.at = m.at()
			}
			m.given[a.Key] = append(m.given[a.Key], g)
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

// until is the model as it was at a moment. What was submitted later is still known.
func (m *model) until(at int) *model {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := newModel(m.t)
	c.rule, c.known = m.rule, m.known
	for key, bodies := range m.submitted {
		c.submitted[key] = maps.Clone(bodies)
	}
	for key, all := range m.given {
		n := 0
		for n < len(all) && all[n].at <= at {
			n++
		}
		c.given[key] = all[:n:n]
	}
	return c
}

// check judges the log of b. It takes the part of every client that there could be:
// one for each event that was handed out, which had seen everything up to it.
func (m *model) check(b *bench, what string) {
	m.t.Helper()
	m.judge(b, what, false)
}

// judge is check; damaged: events, durable ones too, may be gone, but not in silence.
func (m *model) judge(b *bench, what string, damaged bool) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.submitted {
		if fault := m.channel(b.log, key, damaged); fault != "" {
			m.t.Fatalf("%s: %q: %s", what, key, fault)
		}
	}
}

// channel returns what is wrong with one channel.
func (m *model) channel(l *Log, key string, damaged bool) (fault string) {
	p, err := l.Load(key)
	if err != nil {
		if damaged {
			return ""
		}
		return fmt.Sprintf("load: %v", err)
	}
	kept := map[string]uint64{}
	last := uint64(0)
	l.History(key, m.rule, 0, false, "", 1_000_000, func(e Event) bool {
		body, seq, ok := strings.Cut(string(e.Payload), "#")
		switch _, twice := kept[body]; {
		case !ok || !m.knows(key, body) || seq != fmt.Sprint(e.Seq):
			fault = fmt.Sprintf("seq %d holds %q, which nobody published", e.Seq, e.Payload)
		case twice || e.Seq <= last || e.Seq > p.Seq:
			fault = fmt.Sprintf("%q at seq %d comes twice or out of order (head %+v)", body, e.Seq, p)
		}
		kept[body], last = e.Seq, e.Seq
		return fault == ""
	})
	if fault != "" {
		return fault
	}
	given := m.given[key]
	for i, g := range given {
		if g.seq == 0 {
			continue
		}
		if seq, ok := kept[g.body]; g.durable && !damaged && (!ok || seq != g.seq) {
			return fmt.Sprintf("durable %.40q, acknowledged with seq %d, is not in history (it has %d events, head %+v)", g.body, g.seq, len(kept), p)
		}
		// All clients of a short history, some of a long one, the last ones of any.
		if i%(1+len(given)/50+len(given)/1000*100) == 0 || i > len(given)-5 {
			if fault := m.client(l, key, g, given[i+1:]); fault != "" {
				return fault
			}
		}
	}
	return ""
}

func (m *model) knows(key, body string) bool {
	if m.known != nil {
		return m.known(key, body)
	}
	return m.submitted[key][body]
}

// client is one that saw everything up to g, and would have seen missed.
func (m *model) client(l *Log, key string, g given, missed []given) (fault string) {
	now, reason := l.Recover(key, m.rule, g.epoch, g.seq, 1_000_000)
	if reason == ReasonAhead && now.Epoch == g.epoch {
		return fmt.Sprintf("a client at %s:%d is ahead of %+v", g.epoch, g.seq, now)
	}
	if reason != ReasonOK {
		return ""
	}
	// Everything that was handed out after it must come now, and in this order.
	var got []string
	for at := g.seq + 1; at <= now.Seq; {
		b, err := l.Block(key, at)
		if err != nil {
			return fmt.Sprintf("a client at %s:%d was promised seq %d: %v", g.epoch, g.seq, at, err)
		}
		for ; at <= min(b.Last, now.Seq); at++ {
			got = append(got, string(b.Payload(at)))
		}
	}
	at := 0
	for _, later := range missed {
		for at < len(got) && got[at] != later.payload {
			at++
		}
		if at == len(got) {
			return fmt.Sprintf("a client at %s:%d is told that it recovers, and misses %.60q seq %d of %s; it gets %d events",
				g.epoch, g.seq, later.payload, later.seq, later.epoch, len(got))
		}
	}
	return ""
}
