package oracle

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// Source says what a publisher publishes.
type Source struct {
	Channel string
	Durable bool
	// Keyed: each request has an idempotency key and is sent again, unchanged, until
	// it is answered. Otherwise a request whose answer was lost is left open.
	Keyed bool
	// Patience is for how long; 0 = hftest.Patience.
	Patience time.Duration
	// Pause is the longest time between two requests.
	Pause time.Duration
	// Batch is the most events of one request.
	Batch int
	// Except makes some events leave out one of these clients.
	Except []*Client
}

// publisher publishes to one channel, one request after the other.
type publisher struct {
	w    *World
	s    Source
	rand *rand.Rand

	mu       sync.Mutex
	latency  []time.Duration // guarded by mu: of answers 200
	statuses map[string]int  // guarded by mu: answers, by status and code
	lost     int             // guarded by mu: requests with a key that were sent and not answered
	there    int             // guarded by mu: of these, how many a client has an event of
	replayed int             // guarded by mu: retries that got the stored answer
	stopping bool            // guarded by mu
}

// asked is one request: neighbouring events of the channel.
type asked struct {
	numbers []int
	path    string
	body    string
}

func (p *publisher) run() {
	for !p.stopped() {
		p.publish()
		if p.s.Pause > 0 {
			time.Sleep(time.Duration(p.rand.Int64N(int64(p.s.Pause))))
		}
	}
}

func (p *publisher) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

func (p *publisher) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
}

// publish makes one request and notes its outcome.
func (p *publisher) publish() (o Outcome) {
	a, lost, patience := p.ask(), false, cmp.Or(p.s.Patience, hftest.Patience)
	for deadline := time.Now().Add(patience); ; {
		began := time.Now()
		e := p.w.Edges[p.rand.IntN(len(p.w.Edges))]
		r, err := e.Ask(p.w.http, http.MethodPost, a.path, nil, a.body)
		if err == nil && (r.Status == http.StatusOK || !p.s.Keyed || r.Status < 409) {
			return p.answered(a, r, time.Since(began))
		}
		if err != nil {
			p.count("no answer")
		} else {
			p.count(statusOf(r))
		}
		if !p.s.Keyed {
			o := Open
			if errors.Is(err, syscall.ECONNREFUSED) {
				o = Refused // it was never sent
				p.note(a, o, make([]Position, len(a.numbers)))
			}
			time.Sleep(5 * time.Millisecond)
			return o
		}
		if time.Now().After(deadline) {
			p.w.fault("%s: no answer to event %d for %s: %v, %d %s", p.s.Channel, a.numbers[0], patience, err, r.Status, r.Body)
			return Open
		}
		if err != nil && !errors.Is(err, syscall.ECONNREFUSED) && !lost {
			lost = true
			p.noteLost(a)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// noteLost counts a request that may have been served, and is sent again.
func (p *publisher) noteLost(a asked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
	if slices.ContainsFunc(p.w.clients, func(c *Client) bool { return c.Newest(p.s.Channel) >= a.numbers[0] }) {
		p.there++
	}
}

// ask enters the next events into the ledger and makes a request of them.
func (p *publisher) ask() asked {
	count := 1
	if p.s.Batch > 1 && p.rand.IntN(4) == 0 {
		count = 2 + p.rand.IntN(p.s.Batch-1)
	}
	var a asked
	events := make([]map[string]any, count)
	for i := range events {
		except := ""
		if len(p.s.Except) > 0 && p.rand.IntN(10) == 0 {
			except = p.s.Except[p.rand.IntN(len(p.s.Except))].Socket()
		}
		n, data := p.w.Ledger.Ask(p.s.Channel, p.s.Durable, except)
		a.numbers = append(a.numbers, n)
		events[i] = map[string]any{"name": "n", "channel": p.s.Channel, "data": data, "info": "position"}
		if except != "" {
			events[i]["socket_id"] = except
		}
	}
	whole := events[0]
	a.path = "/events"
	if count > 1 {
		a.path = "/batch_events"
		whole = map[string]any{"batch": events}
	}
	if p.s.Durable {
		whole["durable"] = true
	}
	if p.s.Keyed {
		whole["idempotency_key"] = fmt.Sprintf("%s-%d", p.s.Channel, a.numbers[0])
	}
	b, err := json.Marshal(whole)
	if err != nil {
		panic(err) // strings and maps
	}
	a.body = string(b)
	return a
}

// answered notes an answer.
func (p *publisher) answered(a asked, r hftest.Response, took time.Duration) Outcome {
	p.count(statusOf(r))
	o := Open
	switch {
	case r.Status == http.StatusOK:
		o = Taken
		p.mu.Lock()
		p.latency = append(p.latency, took)
		if r.Header.Get("Idempotent-Replayed") != "" {
			p.replayed++
		}
		p.mu.Unlock()
		if p.s.Durable && r.Header.Get("Holdfast-Durable") != "1" {
			p.w.fault("%s: a durable publish was answered without Holdfast-Durable: %s", p.s.Channel, r.Body)
		}
	case r.Status >= http.StatusTooManyRequests && strings.Contains(r.Body, "nothing was delivered"),
		r.Status == http.StatusServiceUnavailable && strings.Contains(r.Body, `"draining"`):
		o = Refused
		if r.Header.Get("Retry-After") == "" {
			p.w.fault("%s: %d without Retry-After: %s", p.s.Channel, r.Status, r.Body)
		}
	case r.Status != http.StatusServiceUnavailable:
		p.w.fault("%s: %d %s", p.s.Channel, r.Status, r.Body)
	}
	at, err := positions(r, a)
	if err != nil {
		p.w.fault("%s: %v in %s", p.s.Channel, err, r.Body)
	}
	p.note(a, o, at)
	return o
}

func (p *publisher) note(a asked, o Outcome, at []Position) {
	for i, n := range a.numbers {
		p.w.Ledger.Answer(p.s.Channel, n, o, at[i])
	}
}

// positions reads those of an answer to a; an event that is not in the log has none.
func positions(r hftest.Response, a asked) ([]Position, error) {
	at := make([]Position, len(a.numbers))
	if r.Status != http.StatusOK {
		return at, nil
	}
	var body struct {
		Batch    []struct{ Position Position }
		Channels map[string]struct{ Position Position }
	}
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		return at, err
	}
	if len(a.numbers) == 1 {
		for _, c := range body.Channels {
			at[0] = c.Position
		}
		return at, nil
	}
	if len(body.Batch) != len(at) {
		return at, fmt.Errorf("%d positions, wanted %d", len(body.Batch), len(at))
	}
	for i, b := range body.Batch {
		at[i] = b.Position
	}
	return at, nil
}

// statusOf is an answer's status and, of an error, its code.
func statusOf(r hftest.Response) string {
	var body struct{ Code string }
	if r.Status != http.StatusOK {
		_ = json.Unmarshal([]byte(r.Body), &body)
	}
	return strings.TrimSpace(fmt.Sprint(r.Status, " ", body.Code))
}

func (p *publisher) count(status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.statuses[status]++
}
