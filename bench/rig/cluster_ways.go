package main

import "fmt"

// through is a probe through holdfast: a subscriber, and a publisher of its channel at the same node or another.
type through struct {
	p      *publisher
	shape  messageShape
	number int
	came   int64 // −1: not yet
}

func (s *stage) through(to *crowd, from *server) (*through, error) {
	to.sharing(deliveryChannel)
	w := &through{shape: spread(1, func(int) string { return deliveryChannel }, eventBytes)[0]}
	to.onMessage = func(_ *subscriber, _ []byte, number int) {
		if number == w.number {
			w.came = to.read
		}
	}
	if err := to.connect(1, 1); err != nil {
		return nil, err
	}
	c, err := s.crowd(from)
	if err != nil {
		return nil, err
	}
	crew, err := c.addPublishers(1)
	if err != nil {
		return nil, err
	}
	w.p = crew[0]
	w.p.shape = &w.shape
	return w, nil
}

func (w *through) prepare() {
	w.number, w.came = w.number+1, -1
	w.p.prepare(w.number)
}

func (w *through) publish() error { return w.p.publish(w.number) }
func (w *through) done() bool     { return w.came >= 0 && !w.p.busy }
func (w *through) at() int64      { return w.came }

// background is events at a fixed rate on channels with a subscriber each, from the one node or server to the other.
type background struct {
	load    *paced
	on      int64 // ns in which they were published
	came    []bool
	arrived int // of them, each once
	doubled int
	ns      []int64 // from when they were called, or due
}

// book takes in one reception.
func (g *background) book(number int, at int64) {
	called, ok := g.load.at(number)
	if !ok {
		return
	}
	for len(g.came) <= number {
		g.came = append(g.came, false)
	}
	if g.came[number] {
		g.doubled++
		return
	}
	g.came[number] = true
	g.arrived++
	g.ns = append(g.ns, at-called)
}

func (g *background) perSecond() float64 { return float64(len(g.load.called)) / seconds(g.on) }

func (g *background) missing() int { return len(g.load.called) - g.arrived }

func loadChannel(i int) string { return fmt.Sprintf("bench-load-%05d", i) }

func (s *stage) background(to, from *server) (*background, error) {
	subs, err := s.crowd(to)
	if err != nil {
		return nil, err
	}
	pubs, err := s.crowd(from)
	if err != nil {
		return nil, err
	}
	g := &background{}
	if g.load, err = newPaced(pubs, loadCalls, s.plan.rate, 0); err != nil {
		return nil, err
	}
	g.load.shapes = spread(s.plan.loaded, loadChannel, eventBytes)
	subs.channelOf = loadChannel
	subs.onOther = func(_ *subscriber, text []byte) {
		if number, ok := dataNumber(text); ok {
			g.book(number, subs.read)
		}
	}
	return g, subs.connect(s.plan.loaded, 64)
}
