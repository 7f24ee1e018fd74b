package main

import (
	"bytes"
	"slices"
	"time"
)

// paced publishes at a fixed rate, whatever the server does (open loop), on keep-alive connections of a crowd. An event
// that is due while no connection is free counts from when it was due: that wait is the server's.
// Owned by the crowd's goroutine.
type paced struct {
	c      *crowd
	crew   []*publisher
	period int64          // ns
	shapes []messageShape // of the channels, in turn; nil: the crowd's own

	on     bool
	next   int64 // when the next event is due, now() of c
	waited bool  // no connection was free then
	number int   // of the next event
	first  int   // of the events with a time
	called []int64
}

// newPaced opens connections for a stream of perSecond events, the first of which gets a number.
func newPaced(c *crowd, connections int, perSecond float64, number int) (*paced, error) {
	crew, err := c.addPublishers(connections)
	if err != nil {
		return nil, err
	}
	return &paced{c: c, crew: crew, period: int64(float64(time.Second) / perSecond), number: number, first: number}, nil
}

// start begins to publish.
func (l *paced) start() { l.on, l.next, l.waited = true, l.c.now()+l.period, false }

// stop ends it; what was called may not be answered yet.
func (l *paced) stop() { l.on = false }

// idle tells whether every publish was answered.
func (l *paced) idle() bool {
	return !slices.ContainsFunc(l.crew, func(p *publisher) bool { return p.busy })
}

// at is when an event was called, or due; ok is false for one that is not of this stream.
func (l *paced) at(number int) (ns int64, ok bool) {
	if number < l.first || number >= l.first+len(l.called) {
		return 0, false
	}
	return l.called[number-l.first], true
}

// turn publishes what is due. It never waits.
func (l *paced) turn() error {
	now := l.c.now()
	if !l.on || now < l.next {
		return nil
	}
	i := slices.IndexFunc(l.crew, func(p *publisher) bool { return !p.busy })
	if i < 0 {
		l.waited = true
		return nil
	}
	at := now
	if l.waited {
		at = l.next
	}
	p := l.crew[i]
	if len(l.shapes) > 0 {
		p.shape, p.request = &l.shapes[l.number%len(l.shapes)], nil
	}
	l.called = append(l.called, at)
	if err := p.publish(l.number); err != nil {
		return err
	}
	l.number++
	l.next, l.waited = max(l.next+l.period, now), false
	return nil
}

// spread are the shapes of messages to n channels, each with frameBytes on the wire where seq has one digit.
func spread(n int, channelOf func(i int) string, frameBytes int) []messageShape {
	out := make([]messageShape, n)
	for i := range out {
		out[i] = messageShape{channel: channelOf(i), seq: true}
		out[i].padding = sized(frameBytes, 2+len(out[i].appendText(nil, 0)))
		out[i].seq = false // the number is of the stream, not of the channel: the padding stays
	}
	return out
}

// dataNumber reads the number of a message on any channel.
func dataNumber(text []byte) (int, bool) {
	at := bytes.Index(text, []byte(`"data":"`))
	if at < 0 {
		return 0, false
	}
	at += len(`"data":"`)
	return messageNumber(text[:at], text)
}
