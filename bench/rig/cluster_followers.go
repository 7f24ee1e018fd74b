package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// followers is two nodes, the first of which follows many channels for connections with channelsEach of them, and one
// way to publish to all: on the second.
type followers struct {
	b        *bench
	island   *island
	ps       *peers // at the first node
	c        *crowd // publishers at the second
	crew     []*publisher
	channels int
	numbers  map[string]int // of the channels, by name

	wanted int   // number of the event that is counted
	seen   []int // receptions of it, by channel
	first  int   // channels that had it
	stray  int   // receptions of another, or of nobody's channel
	came   []int64
	lost   error
}

// withFollowers starts everything and runs work, which says when the channels are followed.
func (b *bench) withFollowers(t target, appendOnly string, channels int, work func(*followers) error) error {
	f := &followers{b: b, channels: channels, numbers: map[string]int{}}
	for i := range channels {
		f.numbers[owned(i)] = i
	}
	defer f.close()
	err := f.set(t, appendOnly)
	if err == nil {
		err = work(f)
	}
	if f.island != nil {
		err = f.island.words(b, err)
	}
	return err
}

func (f *followers) set(t target, appendOnly string) (err error) {
	if f.island, err = f.b.newIsland(t, appendOnly, 2, f.b.cpus.server); err != nil {
		return err
	}
	if f.c, err = newCrowd(f.b.ctx, f.island.nodes[1], waitSpin); err != nil {
		return err
	}
	if f.crew, err = f.c.addPublishers(spreadCrew); err != nil {
		return err
	}
	if f.ps, err = newPeers(f.b.ctx, f.island.nodes[0]); err != nil {
		return err
	}
	return nil
}

// follow has all the channels followed.
func (f *followers) follow() error {
	if err := f.ps.subscribeEach(f.channels/channelsEach, channelsEach, ownedChannel); err != nil {
		return err
	}
	f.ps.onEnd = func(_ *peer, err error) { f.lost = err }
	f.ps.onEvent = f.arrived
	f.c.between = func() error {
		if f.lost != nil {
			return fmt.Errorf("a subscriber was lost: %w", f.lost)
		}
		return f.ps.turn(0)
	}
	return nil
}

func (f *followers) close() {
	if f.c != nil {
		f.c.between = nil
		f.c.close()
	}
	if f.ps != nil {
		f.ps.close()
	}
	if f.island != nil {
		f.island.stop()
	}
}

// arrived books one reception.
func (f *followers) arrived(_ *peer, _ string, text []byte, _ int) {
	number, ok := dataNumber(text)
	i, known := f.numbers[channelOf(text)]
	if !ok || !known || number != f.wanted {
		f.stray++
		return
	}
	if f.seen[i]++; f.seen[i] == 1 {
		f.first++
		f.came = append(f.came, f.c.now())
	}
}

// channelOf is the channel of a server's message; "" when it has none.
func channelOf(text []byte) string {
	_, rest, ok := bytes.Cut(text, []byte(`"channel":"`))
	if !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}

// nobody is publish's ready for one who waits for the answers only.
func (f *followers) nobody() bool { return true }

// publish publishes one event on the first so many channels, channelsEach of them in each publish, and waits until all
// are answered and ready.
func (f *followers) publish(number, channels int, ready func() bool) error {
	f.wanted, f.first, f.came = number, 0, f.came[:0]
	f.seen = make([]int, f.channels)
	next := 0
	var failed error
	err := f.c.until(collectTimeout, "an event on every channel", func() bool {
		busy := false
		for _, p := range f.crew {
			if !p.busy && next < channels && failed == nil {
				shape := f.shape(next, min(next+channelsEach, channels))
				next += channelsEach
				p.shape, p.request = &shape, nil
				failed = p.publish(number)
			}
			busy = busy || p.busy
		}
		return failed != nil || !busy && next >= channels && ready()
	})
	return errors.Join(failed, err)
}

// elsewhere publishes one event on a channel that nobody follows.
func (f *followers) elsewhere() error {
	shape := spread(1, func(int) string { return bareChannel }, eventBytes)[0]
	p := f.crew[0]
	p.shape, p.request = &shape, nil
	for range 2 { // the first one sends the script too
		if err := p.publish(0); err != nil {
			return err
		}
		if err := f.c.until(broadcastTimeout, "an answer", func() bool { return !p.busy }); err != nil {
			return err
		}
	}
	return nil
}

// shape is an event on the channels from one to before another.
func (f *followers) shape(from, to int) messageShape {
	shape := spread(1, func(int) string { return owned(from) }, eventBytes)[0]
	for i := from + 1; i < to; i++ {
		shape.more = append(shape.more, owned(i))
	}
	return shape
}

// all tells whether every channel had the event.
func (f *followers) all() bool { return f.first == f.channels }

// linger waits for what should not come.
func (f *followers) linger(d time.Duration) error {
	end := f.c.now() + int64(d)
	return f.c.until(d+time.Minute, "what should not come", func() bool { return f.c.now() >= end })
}
