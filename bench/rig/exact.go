package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"
)

// exactPlan is one delivery test.
type exactPlan struct {
	common
	target     string
	clients    int
	messages   int
	rate       float64       // publishes a second; 0: the next one when the one before was answered
	frameBytes int           // of one message on the wire
	grace      time.Duration // after the last message that was expected: a duplicate would come then
	silence    time.Duration // without any arrival: what is missing then is lost
	limit      time.Duration // for the whole delivery
}

// exactResult is what it found. Every counter but delivered is a fault.
type exactResult struct {
	Server     string  `json:"server"`
	Clients    int     `json:"clients"`
	Messages   int     `json:"messages"`
	Delivered  int     `json:"delivered"`    // (client, message) pairs that arrived at least once
	Lost       int     `json:"lost"`         // pairs that never arrived
	Duplicates int     `json:"duplicates"`   // arrivals of a pair beyond the first
	OutOfOrder int     `json:"out_of_order"` // first arrivals with a number below one seen before by that client
	Corrupt    int     `json:"corrupt"`      // texts that differ from what was published, or unknown numbers
	Closed     int     `json:"closed"`       // clients whose connection ended
	Reason     string  `json:"reason,omitempty"`
	Seconds    float64 `json:"seconds"` // first publish to last reception
	OK         bool    `json:"ok"`
}

func runExact(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	e := exactPlan{frameBytes: 165, grace: time.Second, silence: 10 * time.Second, limit: 10 * time.Minute}
	fs := flag.NewFlagSet("rig exact", flag.ContinueOnError)
	fs.SetOutput(progress)
	e.register(fs)
	fs.StringVar(&e.target, "target", "holdfast", "server: holdfast, floor, or a name given with -compare")
	fs.IntVar(&e.clients, "n", maxSockets, "clients")
	fs.IntVar(&e.messages, "m", 100, "messages")
	fs.Float64Var(&e.rate, "publish-rate", 0, "publishes a second; 0: each when the one before was answered")
	fs.DurationVar(&e.limit, "limit", e.limit, "time for the whole delivery")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if e.clients < 1 || e.messages < 1 || e.rate < 0 {
		return false, fmt.Errorf("%w: -n and -m are at least 1, -publish-rate at least 0", errRefused)
	}
	var result exactResult
	err := e.one(ctx, e.target, e.clients, progress, func(c *crowd) (err error) {
		result, err = e.deliver(c, progress)
		return err
	})
	if err != nil {
		return false, err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return result.OK, enc.Encode(result)
}

// one runs work against a fresh process of one named server, with sockets clients at most.
func (c *common) one(ctx context.Context, name string, sockets int, progress io.Writer, work func(*crowd) error) error {
	if err := c.check(); err != nil {
		return err
	}
	if err := checkDescriptors(sockets); err != nil {
		return err
	}
	cpus, err := pin(c.serverCPU, c.clientCPU)
	if err != nil {
		return err
	}
	ts, clean, err := c.targets(progress, name)
	if err != nil {
		return err
	}
	defer clean()
	b := &bench{ctx: ctx, plan: plan{common: *c}, cpus: cpus}
	return b.withCrowd(ts[0], work)
}

// deliver connects the clients, publishes on one connection, one message after the other, and checks every arrival.
func (e *exactPlan) deliver(c *crowd, progress io.Writer) (exactResult, error) {
	if err := c.connect(e.clients, 64); err != nil {
		return exactResult{}, err
	}
	fmt.Fprintf(progress, "%d clients subscribed\n", c.subscribed)
	p, err := c.addCalibrated(e.frameBytes)
	if err != nil {
		return exactResult{}, err
	}
	// From here on a lost client is a finding, not the end. The messages of the test have the numbers 1 to m.
	c.tolerant = true
	l := newLedger(e.clients, e.messages, c.shape)
	c.onMessage = func(s *subscriber, text []byte, number int) { l.arrival(int(s.number), number, text) }
	began := c.now()
	if err := e.publishAll(c, p, began); err != nil {
		return exactResult{}, err
	}
	want := e.clients * e.messages
	last, before := c.now(), l.arrivals
	err = c.until(e.limit, "delivery", func() bool {
		if l.arrivals != before {
			last, before = c.now(), l.arrivals
		}
		// Over when all is there, or when nothing has come for a while: then the rest is lost.
		return l.delivered >= want || c.now()-last > int64(e.silence)
	})
	if err != nil {
		return exactResult{}, err
	}
	if err := c.rest(e.grace); err != nil {
		return exactResult{}, err
	}
	r := l.result()
	r.Server, r.Closed, r.Seconds = c.srv.target.name, c.lost, seconds(last-began)
	if c.fault != nil {
		r.Reason = c.fault.Error()
	}
	r.OK = r.OK && r.Closed == 0
	return r, nil
}

func (e *exactPlan) publishAll(c *crowd, p *publisher, began int64) error {
	for number := 1; number <= e.messages; number++ {
		p.prepare(number)
		due := began
		if e.rate > 0 {
			due += int64(float64(number-1) / e.rate * float64(time.Second))
		}
		if err := c.until(e.limit, "pace", func() bool { return c.now() >= due }); err != nil {
			return err
		}
		if err := p.publish(number); err != nil {
			return err
		}
		if err := c.until(e.limit, "answer", func() bool { return !p.busy }); err != nil {
			return err
		}
	}
	return nil
}

// ledger is the books of a delivery test: what each client has had. Messages are numbered from 1.
type ledger struct {
	clients, messages int
	shape             messageShape
	seen              []uint64 // one bit a (client, message) pair
	latest            []int32  // largest number a client has seen

	arrivals, delivered, duplicates, outOfOrder, corrupt int

	wanted []byte // scratch: the text as published
}

func newLedger(clients, messages int, shape messageShape) *ledger {
	return &ledger{clients: clients, messages: messages, shape: shape,
		seen: make([]uint64, (clients*(messages+1)+63)/64), latest: make([]int32, clients)}
}

// arrival books one reception.
func (l *ledger) arrival(client, number int, text []byte) {
	l.arrivals++
	// Servers may add members behind ours, so the text as published without its last brace is what must be there.
	l.wanted = l.shape.appendText(l.wanted[:0], number)
	rest, same := bytes.CutPrefix(text, l.wanted[:len(l.wanted)-1])
	if number < 1 || number > l.messages || !same || len(rest) == 0 || (rest[0] != ',' && rest[0] != '}') {
		l.corrupt++
		return
	}
	bit := client*(l.messages+1) + number
	if l.seen[bit/64]&(1<<(bit%64)) != 0 {
		l.duplicates++
		return
	}
	l.seen[bit/64] |= 1 << (bit % 64)
	l.delivered++
	if int32(number) < l.latest[client] {
		l.outOfOrder++
	}
	l.latest[client] = max(l.latest[client], int32(number))
}

func (l *ledger) result() exactResult {
	lost := l.clients*l.messages - l.delivered
	return exactResult{Clients: l.clients, Messages: l.messages, Delivered: l.delivered, Lost: lost, Duplicates: l.duplicates,
		OutOfOrder: l.outOfOrder, Corrupt: l.corrupt, OK: lost == 0 && l.duplicates == 0 && l.outOfOrder == 0 && l.corrupt == 0}
}
