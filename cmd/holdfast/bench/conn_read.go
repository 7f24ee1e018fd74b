package bench

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// ready handles an edge of a connection's socket.
func (l *loop) ready(i uint32, c *conn, events uint32) {
	if c.state == stateConnecting && !l.request(i, c) {
		return
	}
	if c.out != 0 && !l.flush(i, c) {
		return
	}
	gen := c.gen
	for c.gen == gen && (c.state.underWay() || c.state.connected()) {
		// Behind what was kept of the read before, so that the two are one piece.
		kept := copy(l.in, l.held.bytes(c.in))
		n, err := rawRead(c.fd, l.in[kept:])
		if err == unix.EAGAIN || err == unix.EINTR {
			return
		}
		now := l.clock.now()
		if n == 0 {
			l.gone(i, c, err)
			return
		}
		c.heard, c.pinged = l.ms(now), false
		l.tally.Bytes += int64(n)
		l.input(i, c, l.in[:kept+n], now)
		// A stream socket that gave less than asked is empty; what comes later is a
		// new edge, but for the end that this edge has told of.
		if kept+n < len(l.in) && events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			return
		}
	}
}

// gone handles the end of a connection without, or behind, a Close frame.
func (l *loop) gone(i uint32, c *conn, err error) {
	if c.state == stateClosing {
		l.left(i, c)
		return
	}
	if err == nil {
		err = io.EOF
	}
	l.lose(i, c, stageNames[c.state]+": "+errnoName(err), againLater)
}

// request sends the opening request once the socket is connected.
func (l *loop) request(i uint32, c *conn) (ok bool) {
	l.out = l.handshake.appendRequest(l.out[:0], c.attempt(i))
	n, err := rawSend(c.fd, l.out)
	switch {
	case err == unix.EAGAIN, err == unix.ENOTCONN:
		return false
	case err != nil:
		l.lose(i, c, "connect: "+errnoName(err), againLater)
		return false
	}
	l.tally.TCP.Add(since(c.began, l.clock.now()))
	c.state = stateUpgrading
	if n < len(l.out) {
		l.held.append(&c.out, l.out[n:])
	}
	return true
}

// input handles p: what one read brought, behind what was left of the one before.
// It borrows p.
func (l *loop) input(i uint32, c *conn, p []byte, now int64) {
	gen := c.gen
	if c.state == stateUpgrading {
		n, err := l.handshake.answered(p, c.attempt(i))
		if err != nil {
			l.lose(i, c, err.Error(), againLater)
			return
		}
		if n == 0 {
			l.held.set(&c.in, p)
			return
		}
		p = p[n:]
		c.state = stateGreeting
	}
	for {
		f, n, err := nextFrame(p)
		if err != nil {
			l.lose(i, c, err.Error(), againLater)
			return
		}
		if n == 0 {
			break
		}
		p = p[n:]
		l.frame(i, c, &f, now)
		if c.gen != gen || c.fd < 0 {
			return
		}
	}
	l.held.set(&c.in, p)
}

// frame handles one frame, whole.
func (l *loop) frame(i uint32, c *conn, f *wsFrame, now int64) {
	switch f.op {
	case opText, opContinuation:
		if (f.op == opContinuation) != c.parts || c.parts && len(l.held.bytes(c.message))+len(f.payload) > maxMessageBytes {
			l.lose(i, c, errFragments.Error(), againLater)
			return
		}
		if f.fin && !c.parts {
			l.message(i, c, f.payload, now)
			return
		}
		l.held.append(&c.message, f.payload)
		if c.parts = !f.fin; f.fin {
			gen := c.gen
			l.message(i, c, l.held.bytes(c.message), now)
			if c.gen == gen {
				l.held.drop(&c.message)
			}
		}
	case opPing:
		l.tally.PingsAnswered++
		l.send(i, c, opPong, f.payload)
	case opClose:
		l.closed(i, c, f.payload)
	case opBinary:
		l.lose(i, c, errBinary.Error(), againLater)
	}
}

// closed handles the server's Close frame.
func (l *loop) closed(i uint32, c *conn, payload []byte) {
	if c.state == stateClosing {
		l.left(i, c)
		return
	}
	code := 1005 // none (RFC 6455 7.4.1)
	if len(payload) >= 2 {
		code = int(binary.BigEndian.Uint16(payload))
		l.tally.sample(fmt.Sprintf("close %d %s", code, payload[2:]))
	}
	name := fmt.Sprint(code)
	count(l.tally.Closes, name, 1)
	when := againLater
	switch {
	case code >= 4000 && code < 4100:
		when = againNever
	case code >= 4200 && code < 4300:
		when = againNow
	}
	l.lose(i, c, "closed with "+name, when)
}

// left ends a connection that has gone by its own will; it comes back after a pause.
func (l *loop) left(i uint32, c *conn) {
	l.release(c)
	l.settle(i)
	l.tally.ChurnCycles++
	l.wait(c, l.clock.now()+randomUpTo(churnPause))
}
