package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"time"
)

const (
	returnsMost    = 8_000_000 // bytes of one message: limits.event_data_bytes ends at 8 MiB
	returnsTimeout = 10 * time.Minute
	returnsBar     = 1.05 // resident size afterwards over that before
)

// returnsPlan is one check that a server gives back what a busy time took.
type returnsPlan struct {
	judged
	clients     int
	bytes       int // of the data of each one's message
	concurrency int // messages under way at once
	settle      time.Duration
	within      time.Duration
}

// returnsResult is what it found.
type returnsResult struct {
	Server    string       `json:"server"`
	Clients   int          `json:"clients"`
	Bytes     int          `json:"message_bytes"`
	UnderWay  int          `json:"messages_under_way"`
	Received  int          `json:"messages_received"` // whole, by the one that they were for
	Wrong     int          `json:"messages_wrong"`
	Refused   int          `json:"messages_refused"` // answered pusher:error
	Lost      int          `json:"connections_lost"`
	Reason    string       `json:"reason,omitempty"`
	Seconds   float64      `json:"seconds"` // first byte to last
	CPU       float64      `json:"server_cpu_s"`
	RSSBefore int64        `json:"rss_before_bytes"`
	RSSPeak   int64        `json:"rss_peak_bytes"` // VmHWM
	RSSAfter  int64        `json:"rss_after_bytes"`
	Ratio     float64      `json:"after_over_before"`
	BackAfter float64      `json:"seconds_until_back"` // first reading within the bar; −1: none was
	Readings  []rssReading `json:"readings"`           // while all are idle again
}

// rssReading is one resident size, and when it was read.
type rssReading struct {
	Seconds float64 `json:"s"` // since the last message
	RSS     int64   `json:"rss_bytes"`
	Anon    int64   `json:"anon_bytes"`
}

func runReturns(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	var p returnsPlan
	fs := flag.NewFlagSet("rig returns", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	p.sizeFlag(fs)
	fs.IntVar(&p.clients, "n", 10000, "clients, in pairs; an even number")
	fs.IntVar(&p.bytes, "bytes", 1_000_000, "data of the one message that each sends, and of the one that it gets")
	fs.IntVar(&p.concurrency, "concurrency", 500, "messages under way at once: the server may have to hold all of them")
	fs.DurationVar(&p.settle, "settle", 15*time.Second, "quiet time before the first resident size is read")
	fs.DurationVar(&p.within, "within", time.Minute, "quiet time until the last one is read")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if p.quick {
		p.clients, p.bytes, p.concurrency, p.settle, p.within = 200, 200_000, 50, time.Second, 3*time.Second
	}
	if p.clients < 2 || p.clients%2 != 0 || p.bytes < 1 || p.bytes > returnsMost || p.concurrency < 1 || p.settle < 0 || p.within <= 0 || fs.NArg() > 0 {
		return false, fmt.Errorf("%w: -n is even and at least 2, -bytes 1 to %d, -concurrency at least 1, -within above 0, and nothing stands behind the flags",
			errRefused, returnsMost)
	}
	return p.run(ctx, "returns", p.clients, out, progress, p.configure,
		func(b *bench, c *crowd) (any, []verdict, error) { return p.measure(b, c.srv, progress) })
}

// configure lets messages of that size in.
func (p *returnsPlan) configure(t target) target {
	const kib = 1 << 10
	return t.with(fmt.Sprintf("[limits]\nmessage_bytes = \"%dKiB\"\nevent_data_bytes = \"%dKiB\"\nmessage_time = \"120s\"\n",
		p.bytes/kib+8, max(p.bytes/kib+1, 10)))
}

func (p *returnsPlan) measure(b *bench, srv *server, progress io.Writer) (any, []verdict, error) {
	ps, err := newPeers(b.ctx, srv)
	if err != nil {
		return nil, nil, err
	}
	defer ps.close()
	x := &exchange{plan: p, ps: ps, r: &returnsResult{Server: srv.target.name, Clients: p.clients, Bytes: p.bytes, UnderWay: p.concurrency, BackAfter: -1}}
	if err := x.connect(); err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	fmt.Fprintf(progress, "%d clients subscribed in pairs\n", p.clients)
	if err := ps.rest(p.settle); err != nil {
		return nil, nil, err
	}
	before, err := srv.memory()
	if err != nil {
		return nil, nil, err
	}
	if err := srv.forgetPeak(); err != nil {
		return nil, nil, err
	}
	r := x.r
	r.RSSBefore = before.rss
	began := ps.now()
	cpu, _, err := srv.used(x.run)
	if err != nil {
		return nil, nil, fmt.Errorf("messages: %w", err)
	}
	r.Seconds, r.CPU = seconds(ps.now()-began), seconds(cpu)
	if r.RSSPeak, err = srv.peak(); err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(progress, "%d messages of %d bytes received in %.1f s\n", r.Received, p.bytes, r.Seconds)
	if err := x.watch(); err != nil {
		return nil, nil, err
	}
	return r, r.judge(), nil
}

func (r *returnsResult) judge() []verdict {
	return []verdict{
		exactly("messages received whole", float64(r.Received), float64(r.Clients)),
		exactly("messages wrong or refused, connections lost", float64(r.Wrong+r.Refused+r.Lost), 0),
		atMost("resident size afterwards over before", r.Ratio, returnsBar),
	}
}

// exchange is the messages of all clients: each sends one to the other of its pair.
type exchange struct {
	plan *returnsPlan
	ps   *peers
	r    *returnsResult
	all  []*peer // by number
	rest []byte  // of every message behind the channel's name
	from int     // the next that sends
	size int     // of a whole message as it is received
}

func pairChannel(number int) string { return fmt.Sprintf("private-pair-%05d", number/2) }

// connect opens all sockets, some at a time, and waits until all are subscribed.
func (x *exchange) connect() error {
	ready := 0
	x.all = make([]*peer, x.plan.clients)
	x.ps.channel = pairChannel
	x.ps.onReady = func(*peer) error { ready++; return nil }
	x.ps.onEnd = x.lost
	x.ps.onError = func(_ *peer, text []byte) { x.r.Refused++; x.because(fmt.Errorf("%.300s", text)) }
	x.ps.onEvent = x.arrived
	return x.ps.until(connectTimeout, "connect", func() (bool, error) {
		for x.ps.opened < x.plan.clients && x.ps.opened-ready < 64 {
			p, err := x.ps.open()
			if err != nil {
				return false, err
			}
			x.all[p.number] = p
		}
		if x.r.Lost > 0 {
			return false, fmt.Errorf("a connection was lost: %s", x.r.Reason)
		}
		return ready == x.plan.clients, nil
	})
}

func (x *exchange) lost(_ *peer, err error) { x.r.Lost++; x.because(err) }

func (x *exchange) because(err error) {
	if x.r.Reason == "" {
		x.r.Reason = err.Error()
	}
}

// arrived books one message.
func (x *exchange) arrived(p *peer, _ string, text []byte, size int) {
	want := fmt.Appendf(nil, `{"event":"client-bench","channel":"%s","data":"x`, p.channel)
	if size != x.size || !bytes.HasPrefix(text, want[:min(len(want), len(text))]) {
		x.r.Wrong++
		x.because(fmt.Errorf("client %d: %d bytes, want %d: %.100q", p.number, size, x.size, text))
		return
	}
	x.r.Received++
}

// run keeps concurrency messages under way until all are received, refused or lost.
func (x *exchange) run() error {
	x.rest = clientEventRest(pairChannel(0), bytes.Repeat([]byte{'x'}, x.plan.bytes))
	x.size = len(`{"event":"client-bench","channel":"","data":""}`) + len(pairChannel(0)) + x.plan.bytes
	return x.ps.until(returnsTimeout, "messages", func() (bool, error) {
		for x.from < x.plan.clients && x.from-x.done() < x.plan.concurrency {
			p := x.all[x.from]
			x.from++
			if p.state == peerEnded {
				continue
			}
			if err := p.send(clientEventHead(p.channel, x.plan.bytes), x.rest); err != nil {
				x.ps.lose(p, err)
			}
		}
		return x.done() >= x.plan.clients, nil
	})
}

// done is how many messages are no longer under way.
func (x *exchange) done() int { return x.r.Received + x.r.Wrong + x.r.Refused + x.r.Lost }

// watch reads the resident size once a second while nobody does anything.
func (x *exchange) watch() error {
	began := x.ps.now()
	for {
		if err := x.ps.rest(min(time.Second, x.plan.within)); err != nil {
			return err
		}
		m, err := x.ps.srv.memory()
		if err != nil {
			return err
		}
		at := seconds(x.ps.now() - began)
		x.r.Readings = append(x.r.Readings, rssReading{at, m.rss, m.anon})
		x.r.RSSAfter, x.r.Ratio = m.rss, float64(m.rss)/float64(x.r.RSSBefore)
		if x.r.Ratio <= returnsBar && x.r.BackAfter < 0 {
			x.r.BackAfter = at
		}
		if at >= x.plan.within.Seconds() {
			return nil
		}
	}
}
