package bench

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// Delays before a connection is opened again.
const (
	// backoff is what stock clients wait after a connection that failed.
	backoff = time.Second
	// churnPause is the longest that a churning connection stays away.
	churnPause = time.Second
)

// again says whether a connection that ended comes back in a storm, as stock clients
// do by the server's close code.
type again uint8

const (
	againLater again = iota // after backoff: no code, or 4100 to 4199
	againNow                // 4200 to 4299
	againNever              // 4000 to 4099: the client would be refused for ever
)

// connect begins an attempt of connection i, due at a time.
func (l *loop) connect(i uint32, c *conn, due int64) {
	now := l.clock.now()
	*c = conn{began: due, gen: c.gen + 1, state: stateConnecting, heard: l.ms(now), deadline: l.ms(now) + msOf(l.p.ConnectTimeout), fd: -1}
	l.underWay++
	fd, err := unix.Socket(l.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.lose(i, c, "socket: "+errnoName(err), againLater)
		return
	}
	c.fd = int32(fd)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // as browsers have it
	turn := int(i)
	if n := len(l.sources); n > 0 {
		// The kernel then picks the port at connect(2), by the whole four-tuple.
		if l.family == unix.AF_INET {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		} else {
			_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		}
		if err := unix.Bind(fd, l.sources[turn%n]); err != nil {
			l.lose(i, c, "bind: "+errnoName(err), againNever)
			return
		}
		turn /= n
	}
	if err := unix.Connect(fd, l.destinations[turn%len(l.destinations)]); err != nil && err != unix.EINPROGRESS {
		l.lose(i, c, "connect: "+errnoName(err), againLater)
		return
	}
	// Edge-triggered for both directions: one epoll_ctl for the whole life of the socket.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(i), Pad: int32(c.gen)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		l.lose(i, c, "epoll_ctl: "+errnoName(err), againLater)
	}
}

// attempt numbers the attempts of a loop, for their keys.
func (c *conn) attempt(i uint32) uint64 { return uint64(i)<<16 | uint64(c.gen) }

// release closes the socket and gives the buffers back. The caller sets the state.
func (l *loop) release(c *conn) {
	if c.fd >= 0 {
		reset(c.fd)
	}
	c.fd = -1
	l.held.drop(&c.in)
	l.held.drop(&c.message)
	l.held.drop(&c.out)
	c.parts = false
	switch {
	case c.state.underWay():
		l.underWay--
	case c.state.connected():
		l.connected--
	}
}

// lose ends a connection that should have gone on, for a reason under which it is
// counted, and decides whether it comes back.
func (l *loop) lose(i uint32, c *conn, reason string, when again) {
	was := c.state
	count(l.tally.Failures, reason, 1)
	l.release(c)
	l.settle(i)
	now := l.clock.now()
	s := l.current()
	retrying := s.kind == stepOpen && l.p.Kind == Storm && when != againNever && now-l.began < int64(l.p.ConnectTimeout)
	churning := l.p.Kind == Mixed && l.plan.role(l.share.from+int(i)) == roleChurn
	switch {
	case was.connected():
		l.tally.Dropped++
		l.failed++
	case !retrying:
		l.tally.Failed++
		l.failed++
	}
	switch {
	case retrying && when == againNow:
		l.wait(c, now)
	case retrying, churning:
		l.wait(c, now+int64(backoff))
	default:
		c.state = stateEnded
	}
}

// wait makes a connection come back at a time.
func (l *loop) wait(c *conn, at int64) {
	c.state, c.deadline = stateWaiting, l.ms(at)
	l.waiting++
}

// comeBack opens a waiting connection again, if there is room for its handshake.
func (l *loop) comeBack(i uint32, c *conn, now int64) {
	s := l.current()
	if l.underWay >= l.concurrency || s.kind == stepDrain {
		return
	}
	l.waiting--
	due := now
	if l.p.Kind == Storm {
		due = l.began
		l.tally.Waves[s.wave].Retries++
	}
	l.connect(i, c, due)
}

// cut ends every connection by RST, as a network that fails does.
func (l *loop) cut() {
	for i := range uint32(l.share.len()) {
		c := l.conns.At(i)
		if c.fd >= 0 && (c.state.underWay() || c.state.connected()) {
			l.release(c)
			l.settle(i)
		}
		c.state = stateNew
	}
	l.waiting, l.underWay = 0, 0
}

// scatter gives churning connections the times at which they leave.
func (l *loop) scatter(now int64) {
	if l.p.Kind != Mixed {
		return
	}
	for i := range uint32(l.share.len()) {
		if c := l.conns.At(i); c.state == stateSubscribed {
			l.stay(i, c, now)
		}
	}
}

// stay draws how long a churning connection stays.
func (l *loop) stay(i uint32, c *conn, now int64) {
	if l.p.Kind == Mixed && l.current().kind == stepPublish && l.plan.role(l.share.from+int(i)) == roleChurn {
		c.deadline = l.ms(now) + msOf(l.p.Stay/2) + rand.Uint32N(max(msOf(l.p.Stay), 1))
	}
}
