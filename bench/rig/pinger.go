package main

import (
	"context"
	"time"
)

// pinger is connections that do nothing but ask for a pusher:pong, each once in every period: how long a server takes to
// answer what needs neither a channel nor a log. A ping that is due while the one before has no answer counts from when
// it was due. Owned by one goroutine.
type pinger struct {
	ps     *peers
	period int64 // ns
	all    []*peer
	due    []int64 // of the next ping of each
	waited []bool  // it was due while the one before was under way
	sent   []int64 // when the ping under way counts from; −1: none is
	ns     []int64 // round trips
	lost   int
	on     bool
}

// newPinger connects n of them.
func newPinger(ctx context.Context, srv *server, n int, period time.Duration) (*pinger, error) {
	ps, err := newPeers(ctx, srv)
	if err != nil {
		return nil, err
	}
	g := &pinger{ps: ps, period: int64(period), due: make([]int64, n), waited: make([]bool, n), sent: make([]int64, n)}
	ready := 0
	ps.onReady = func(*peer) error { ready++; return nil }
	ps.onEnd = func(*peer, error) { g.lost++ }
	ps.onEvent = func(p *peer, event string, _ []byte, _ int) {
		if event == "pusher:pong" && g.sent[p.number] >= 0 {
			g.ns = append(g.ns, ps.now()-g.sent[p.number])
			g.sent[p.number] = -1
		}
	}
	err = ps.until(connectTimeout, "connect", func() (bool, error) {
		for ps.opened < n {
			p, err := ps.open()
			if err != nil {
				return false, err
			}
			g.all = append(g.all, p)
		}
		return ready == n, nil
	})
	if err != nil {
		ps.close()
		return nil, err
	}
	return g, nil
}

// start begins, with the first pings spread over a period.
func (g *pinger) start() {
	now := g.ps.now()
	for i := range g.all {
		g.due[i], g.sent[i] = now+int64(i)*g.period/int64(len(g.all)), -1
	}
	g.on = true
}

// turn sends what is due and handles what has come. It never waits.
func (g *pinger) turn() error {
	now := g.ps.now()
	for i, p := range g.all {
		if !g.on || p.state == peerEnded || now < g.due[i] {
			continue
		}
		if g.sent[i] >= 0 {
			g.waited[i] = true
			continue
		}
		g.sent[i] = now
		if g.waited[i] {
			g.sent[i] = g.due[i]
		}
		g.due[i], g.waited[i] = max(g.due[i]+g.period, now), false
		if err := p.say(opText, []byte(`{"event":"pusher:ping","data":{}}`)); err != nil {
			g.ps.lose(p, err)
		}
	}
	return g.ps.turn(0)
}
