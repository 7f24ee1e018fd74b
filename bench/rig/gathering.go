package main

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

// gathering is one measurement under way.
type gathering struct {
	plan     *recoverPlan
	b        *bench
	c        *crowd
	o        *bystanders // nil: none
	p        *publisher
	from     []position // where the clients stood when they were cut off
	number   int        // of the next message; all clients stand at this seq
	progress io.Writer
}

// sizes are the resident sizes of one round. Unit: bytes.
type sizes struct{ before, peak, after int64 }

// round is one cut and return. Clients that are connected stay so behind it.
func (g *gathering) round() (one recoverRound, m sizes, err error) {
	if err := g.connect(); err != nil {
		return one, m, fmt.Errorf("connect: %w", err)
	}
	if !g.plan.cold {
		if m.before, err = g.watch(); err != nil {
			return one, m, err
		}
	}
	g.enter("away")
	g.c.drop()
	if err := g.miss(); err != nil {
		return one, m, fmt.Errorf("publish: %w", err)
	}
	if g.plan.cold {
		if err := g.restart(); err != nil {
			return one, m, err
		}
		if m.before, err = g.watch(); err != nil {
			return one, m, err
		}
	}
	if one, err = g.comeBack(); err != nil {
		return one, m, err
	}
	if m.peak, err = g.c.srv.peak(); err != nil {
		return one, m, err
	}
	if err := g.pause(g.plan.settle); err != nil {
		return one, m, err
	}
	after, err := g.c.srv.memory()
	m.after = after.rss
	return one, m, err
}

// connect brings the clients in, if they are not, and learns where they stand.
func (g *gathering) connect() error {
	if g.o == nil && g.plan.others > 0 {
		if err := g.joinOthers(); err != nil {
			return err
		}
	}
	if g.p != nil {
		return nil
	}
	g.from = make([]position, g.plan.clients)
	g.c.onSubscribed = func(s *subscriber, text []byte) error {
		at, err := parseSuccess(text)
		if err == nil && at.Position == nil {
			err = fmt.Errorf("no position in %.200q", text)
		}
		if err == nil {
			g.from[s.number] = *at.Position
		}
		return err
	}
	if err := g.c.connect(g.plan.clients, 64); err != nil {
		return err
	}
	var err error
	if g.p, err = g.c.addCalibrated(g.plan.frameBytes); err != nil {
		return err
	}
	if !g.c.shape.seq {
		return fmt.Errorf("events have no seq: the channel has no history")
	}
	g.number = 1
	fmt.Fprintf(g.progress, "%d clients subscribed\n", g.c.subscribed)
	return nil
}

func (g *gathering) joinOthers() (err error) {
	g.o, err = newBystanders(g.b, g.c.srv, g.plan.others, g.plan.every, g.plan.frameBytes)
	if err != nil {
		return fmt.Errorf("bystanders: %w", err)
	}
	g.c.between = g.o.turn
	return nil
}

func (g *gathering) enter(phase string) {
	if g.o != nil {
		g.o.enter(phase)
	}
}

// take returns what the bystanders received in a phase, and forgets it.
func (g *gathering) take(phase string) []int64 {
	if g.o == nil || g.o.phases[phase] == nil {
		return nil
	}
	ns := *g.o.phases[phase]
	*g.o.phases[phase] = nil
	return ns
}

func (g *gathering) leave() error {
	if g.o == nil {
		return nil
	}
	return g.o.leave()
}

// watch gives the bystanders a quiet time, and reads the resident size at its end.
func (g *gathering) watch() (rss int64, err error) {
	if err := g.pause(g.plan.settle); err != nil {
		return 0, err
	}
	g.enter("before")
	if err := g.pause(g.plan.calm); err != nil {
		return 0, err
	}
	if err := g.leave(); err != nil {
		return 0, err
	}
	m, err := g.c.srv.memory()
	if err != nil {
		return 0, err
	}
	return m.rss, g.c.srv.forgetPeak()
}

// pause lets time pass without sleeping, since the bystanders are to be served.
func (g *gathering) pause(d time.Duration) error {
	end := g.c.now() + int64(d)
	return g.c.until(d+time.Minute, "pause", func() bool { return g.c.now() >= end })
}

// miss publishes what the clients miss, one event after the other.
func (g *gathering) miss() error {
	for i := range g.plan.messages {
		if err := g.p.publish(g.number + i); err != nil {
			return err
		}
		if err := g.c.until(broadcastTimeout, "answer", func() bool { return !g.p.busy }); err != nil {
			return err
		}
	}
	if err := g.pause(g.plan.grace); err != nil {
		return err
	}
	return g.leave()
}

// restart ends the server and starts it anew: what was missed is on its disk and nowhere else.
func (g *gathering) restart() error {
	var phases map[string]*[]int64
	if g.o != nil {
		phases = g.o.phases
		g.c.between = nil
		g.o.close()
		g.o = nil
	}
	g.p.close()
	if err := g.c.srv.restart(g.b.ctx, g.b.cpus.server, g.b.cpus.client); err != nil {
		return err
	}
	if phases == nil {
		return nil
	}
	if err := g.joinOthers(); err != nil {
		return err
	}
	for name, ns := range phases {
		g.o.phases[name] = ns
	}
	return nil
}

// comeBack lets all clients return at once and checks what they get.
func (g *gathering) comeBack() (one recoverRound, err error) {
	from := make([]position, g.plan.clients)
	for i := range from {
		from[i] = position{g.from[i].Epoch, uint64(g.number)}
	}
	k := newComeback(g.c.shape, g.number, g.plan.messages, from, g.c.now)
	g.listen(k)
	defer g.c.deafen()
	blocks, err := g.c.srv.scrape(g.b.ctx)
	if err != nil {
		return one, err
	}
	g.enter("during")
	began, answered := g.c.now(), int64(0)
	cpu, _, err := g.c.srv.used(func() error {
		if err := g.c.connect(g.plan.clients, g.plan.concurrency); err != nil {
			return err
		}
		answered = g.c.now()
		return g.await(k, func() bool { return k.complete+g.c.lost >= g.plan.clients })
	})
	if err != nil {
		return one, err
	}
	if err := g.leave(); err != nil {
		return one, err
	}
	g.number += g.plan.messages
	if err := g.p.publish(g.number); err != nil { // and the channel goes on for them as for everybody
		return one, err
	}
	g.number++
	if err := g.await(k, func() bool { return !g.p.busy && k.live+g.c.lost >= g.plan.clients }); err != nil {
		return one, err
	}
	if err := g.pause(g.plan.grace); err != nil {
		return one, err
	}
	now, err := g.c.srv.scrape(g.b.ctx)
	if err != nil {
		return one, err
	}
	one = recoverRound{
		Recovered: k.recovered, Complete: k.complete, Exact: k.exact(), Refused: k.refused, Missing: k.missing(),
		Duplicates: k.duplicates, OutOfOrder: k.outOfOrder, Corrupt: k.corrupt, Skipped: k.skipped, Closed: g.c.lost,
		Seconds: seconds(k.doneAt - began), Subscribed: seconds(answered - began), CPU: seconds(cpu),
		PerSecond: float64(k.delivered-k.live) / seconds(cpu),
	}
	if g.c.fault != nil {
		one.Reason = g.c.fault.Error()
	}
	if one.Disk, err = now.since(blocks, `holdfast_store_blocks_total{from="disk"}`); err != nil {
		return one, err
	}
	one.Memory, err = now.since(blocks, `holdfast_store_blocks_total{from="memory"}`)
	return one, err
}

// listen books what the crowd gets in k.
func (g *gathering) listen(k *comeback) {
	c := g.c
	c.tolerant = true // a lost client is a finding
	c.recoverAt = func(i int) position { return k.from[i] }
	c.onSubscribed = func(s *subscriber, text []byte) error { return k.subscribed(int(s.number), text) }
	c.onMessage = func(s *subscriber, text []byte, number int) { k.arrival(int(s.number), number, text) }
	c.onOther = func(_ *subscriber, text []byte) {
		if bytes.HasPrefix(text, []byte(`{"event":"pusher_internal:position"`)) {
			k.skipped++
		}
	}
}

// deafen takes back what listen set.
func (c *crowd) deafen() {
	c.tolerant, c.recoverAt, c.onSubscribed, c.onMessage, c.onOther = false, nil, nil, nil, nil
}

// await handles input until done, or until nothing has come for a while: what is missing then is lost.
func (g *gathering) await(k *comeback, done func() bool) error {
	last, before := g.c.now(), -1
	return g.c.until(recoverLimit, "the return", func() bool {
		if k.delivered != before {
			last, before = g.c.now(), k.delivered
		}
		return done() || g.c.now()-last > int64(recoverSilence)
	})
}

func (g *gathering) dismiss() {
	if g.o != nil {
		g.c.between = nil
		g.o.close()
	}
}
