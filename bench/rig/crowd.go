package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// waitMode is what the crowd does when no input is there.
type waitMode uint8

const (
	// waitSpin asks again at once. A server's write never has to wake a sleeping client, as with clients on other hosts.
	waitSpin waitMode = iota
	// waitPoll sleeps pollPause outside of epoll_wait: no wake-ups by the server either, little CPU, coarse latency.
	waitPoll
	// waitBlock sleeps in epoll_wait: the server's writes pay for waking the client.
	waitBlock
)

func parseWait(s string) (waitMode, error) {
	for i, name := range []string{"spin", "poll", "block"} {
		if s == name {
			return waitMode(i), nil
		}
	}
	return 0, fmt.Errorf("-client is spin, poll or block, not %q", s)
}

const (
	pollPause      = 200 * time.Microsecond
	blockAtMost    = 10 // ms in one epoll_wait: done conditions may depend on time
	readBytes      = 256 << 10
	eventsAtOnce   = 512
	socketsPerAddr = 4000 // of one 127.0.1.x source address: its port range holds 28,000, search for a free one stays short
)

// errTimeout: what was waited for did not come. The text tells how far it got.
var errTimeout = errors.New("rig: timed out")

// crowd is all the client sockets of one server, behind one epoll descriptor. One goroutine owns it.
type crowd struct {
	// Immutable after newCrowd.
	ctx       context.Context
	srv       *server
	address   unix.SockaddrInet4
	host      string // Host header
	handshake handshake
	epoll     int
	began     time.Time // origin of now()

	// What the experiment sets.
	wait         waitMode
	tolerant     bool                                         // true: a lost socket is counted, not fatal
	channel      string                                       // the shared one; set by sharing
	prefix       []byte                                       // of its messages
	channelOf    func(i int) string                           // channel of the i-th subscriber; nil: the shared one
	recoverAt    func(i int) position                         // where the i-th subscriber left off; nil: nowhere
	onMessage    func(s *subscriber, text []byte, number int) // nil: only counted
	onSubscribed func(s *subscriber, text []byte) error       // nil: only counted
	onOther      func(s *subscriber, text []byte)             // any other event on a channel; nil: ignored
	onAnswer     func(p *publisher, refused bool)             // a publish was answered; nil: only counted
	between      func() error                                 // called at every turn and after every socket; nil: nothing
	stamped      bool                                         // a reception counts from its arrival in the kernel
	shape        messageShape
	perMessage   []int32 // receptions by message number; nil: not counted

	// State.
	subscribers []subscriber         // by descriptor
	publishers  map[int]*publisher   // by descriptor
	also        map[int]func() error // what else is behind the epoll descriptor: called when one of them is readable
	opened      int                  // sockets opened since the last drop
	underWay    int                  // of these, not yet subscribed and not lost
	subscribed  int
	lost        int   // sockets that ended or failed, since the last drop
	fault       error // why, the first
	received    int   // messages
	wireBytes   int   // of these messages
	read        int64 // now() of the read(2) that is being handled, or of the arrival of its last byte: see stamped
	success     int   // bytes on the wire of the latest success frame
	in          []byte
	control     []byte // scratch for the ancillary data of one read
	events      []unix.EpollEvent
	out         []byte // scratch for one client frame
}

// now is the crowd's clock. Unit: nanoseconds since it was made.
func (c *crowd) now() int64 { return int64(time.Since(c.began)) }

func newCrowd(ctx context.Context, srv *server, wait waitMode) (*crowd, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	host := fmt.Sprintf("127.0.0.1:%d", srv.port)
	return &crowd{
		ctx: ctx, srv: srv, host: host, handshake: newHandshake(host), epoll: epoll, began: time.Now(), wait: wait,
		address: unix.SockaddrInet4{Port: srv.port, Addr: [4]byte{127, 0, 0, 1}}, channel: benchChannel, prefix: messagePrefix,
		subscribers: make([]subscriber, maxSockets+1024), publishers: map[int]*publisher{}, also: map[int]func() error{},
		in: make([]byte, readBytes), events: make([]unix.EpollEvent, eventsAtOnce), control: make([]byte, 128),
	}, nil
}

// sharing makes name the channel that all subscribers share, instead of benchChannel.
func (c *crowd) sharing(name string) {
	c.channel, c.prefix, c.shape.channel = name, prefixOf(name), name
}

// close ends every socket by RST, so that no TIME_WAIT remains.
func (c *crowd) close() {
	c.drop()
	for _, p := range c.publishers {
		p.close()
	}
	unix.Close(c.epoll)
}

// until handles input until done reports true. It fails when limit has passed, a socket was lost (unless tolerant), the
// server exited, or the rig was interrupted. what says what is waited for.
func (c *crowd) until(limit time.Duration, what string, done func() bool) error {
	deadline := c.now() + int64(limit)
	for turn := 0; !done(); turn++ {
		if err := c.step(); err != nil {
			return err
		}
		if c.fault != nil && !c.tolerant {
			break
		}
		if turn&63 == 0 || c.wait != waitSpin {
			if c.now() > deadline {
				return fmt.Errorf("%w after %v: %s: %d opened, %d subscribed, %d lost, %d messages received (%v)",
					errTimeout, limit, what, c.opened, c.subscribed, c.lost, c.received, c.fault)
			}
			if err := c.alive(); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	if c.fault != nil && !c.tolerant {
		return fmt.Errorf("%s: %d sockets lost, the first: %w", what, c.lost, c.fault)
	}
	return nil
}

func (c *crowd) alive() error {
	select {
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-c.srv.exited:
		return fmt.Errorf("%s exited: %v\n%s", c.srv.target.name, c.srv.cmd.ProcessState, c.srv.output())
	default:
		return nil
	}
}

// rest lets d pass, asleep, and answers what comes.
func (c *crowd) rest(d time.Duration) error {
	mode := c.wait
	c.wait = waitBlock
	defer func() { c.wait = mode }()
	end := c.now() + int64(d)
	return c.until(d+time.Minute, "rest", func() bool { return c.now() >= end })
}

// step handles one batch of input, or waits for it as the mode says.
func (c *crowd) step() error {
	n, err := epollWait(c.epoll, c.events, 0)
	if n == 0 && err == nil {
		switch c.wait {
		case waitPoll:
			time.Sleep(pollPause)
		case waitBlock:
			n, err = epollWait(c.epoll, c.events, blockAtMost)
		}
	}
	if err != nil {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	for i := range c.events[:n] {
		fd := int(c.events[i].Fd)
		if p := c.publishers[fd]; c.subscribers[fd].state == stateNone && p != nil {
			if err := p.readable(); err != nil {
				return err
			}
		} else if c.subscribers[fd].state != stateNone {
			c.ready(fd)
		} else if readable := c.also[fd]; readable != nil {
			if err := readable(); err != nil {
				return err
			}
		}
		if err := c.meanwhile(); err != nil {
			return err
		}
	}
	if n == 0 {
		return c.meanwhile()
	}
	return nil
}

func (c *crowd) meanwhile() error {
	if c.between == nil {
		return nil
	}
	return c.between()
}

// connect opens sockets until n are subscribed (tolerant: or lost), with at most concurrency handshakes under way.
func (c *crowd) connect(n, concurrency int) error {
	return c.until(connectTimeout, "connect", func() bool {
		for c.opened < n && c.underWay < concurrency {
			if err := c.open(); err != nil {
				c.opened++
				c.lose(nil, err)
			}
			if err := c.meanwhile(); err != nil && c.fault == nil {
				c.fault = err
			}
		}
		return c.opened >= n && c.underWay == 0
	})
}
