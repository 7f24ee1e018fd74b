package main

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// connectTimeout bounds one wave of connects.
const connectTimeout = 120 * time.Second

// subscriberState is the life of one client socket. It only moves down this list, and from lost to none at the next drop.
type subscriberState uint8

const (
	// stateNone: the descriptor is no subscriber.
	stateNone subscriberState = iota
	// stateConnecting: connect(2) is under way.
	stateConnecting
	// stateUpgrading: the request is sent, the 101 has not come.
	stateUpgrading
	// stateGreeting: Pusher servers only: waiting for pusher:connection_established.
	stateGreeting
	// stateSubscribing: pusher:subscribe is sent.
	stateSubscribing
	// stateSubscribed: messages count.
	stateSubscribed
)

// subscriber is one client socket.
type subscriber struct {
	state   subscriberState
	fd      int32
	number  int32  // in order of opening
	opened  int64  // now() of connect(2)
	partial []byte // of a frame, or of the answer to the handshake
}

// open starts one connection, from a source address of its group.
func (c *crowd) open() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if fd >= len(c.subscribers) {
		unix.Close(fd)
		return fmt.Errorf("descriptor %d: more sockets than the rig is made for", fd)
	}
	number := c.opened
	// The kernel then picks the port at connect(2), by the whole four-tuple; TCP_NODELAY as browsers have it.
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, byte(1 + number/socketsPerAddr)}}
	if err := unix.Bind(fd, &from); err != nil {
		unix.Close(fd)
		return fmt.Errorf("bind 127.0.1.%d: %w", from.Addr[3], err)
	}
	if c.stamped {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	c.subscribers[fd] = subscriber{state: stateConnecting, fd: int32(fd), number: int32(number), opened: c.now()}
	c.opened++
	c.underWay++
	s := &c.subscribers[fd]
	if err := unix.Connect(fd, &c.address); err != nil && err != unix.EINPROGRESS {
		c.lose(s, fmt.Errorf("connect: %w", err))
		return nil
	}
	// Edge-triggered for both directions: one epoll_ctl for the whole life of the socket.
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		c.lose(s, fmt.Errorf("epoll_ctl: %w", err))
	}
	return nil
}

// lose ends one socket (nil: one that could not even be opened).
func (c *crowd) lose(s *subscriber, err error) {
	c.lost++
	if c.fault == nil {
		c.fault = err
	}
	if s == nil {
		return
	}
	if s.state == stateSubscribed {
		c.subscribed--
	} else {
		c.underWay--
	}
	reset(int(s.fd))
	*s = subscriber{}
}

// drop ends every subscriber's socket and forgets their count.
func (c *crowd) drop() {
	for fd := range c.subscribers {
		if c.subscribers[fd].state != stateNone {
			reset(fd)
			c.subscribers[fd] = subscriber{}
		}
	}
	c.opened, c.underWay, c.subscribed, c.lost, c.fault = 0, 0, 0, 0, nil
}

// reset closes a socket with RST: nothing stays in TIME_WAIT.
func reset(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

// ready handles an edge of one subscriber's socket.
func (c *crowd) ready(fd int) {
	s := &c.subscribers[fd]
	if s.state == stateConnecting {
		n, err := unix.Write(fd, c.handshake.request)
		if err == unix.EAGAIN || err == unix.ENOTCONN {
			return
		}
		if err != nil || n != len(c.handshake.request) {
			c.lose(s, fmt.Errorf("send the handshake: %d bytes, %w", n, err))
			return
		}
		s.state = stateUpgrading
	}
	for s.state != stateNone {
		// Behind what was kept of the read before, so that the two are one piece without another copy.
		kept := copy(c.in, s.partial)
		n, err := c.receive(fd, c.in[kept:])
		if err == unix.EAGAIN {
			return
		}
		if err != nil {
			c.lose(s, fmt.Errorf("read: %w", err))
			return
		}
		if n == 0 {
			c.lose(s, fmt.Errorf("the server closed the connection (%s)", [...]string{"", "connecting", "before the 101", "before connection_established", "before the success", "subscribed"}[s.state]))
			return
		}
		if err := c.input(s, c.in[:kept+n]); err != nil {
			c.lose(s, err)
			return
		}
		if kept+n < len(c.in) {
			return // a stream socket that gave less than asked is empty; what comes later is a new edge
		}
	}
}

// input handles p, which is what one read(2) brought behind what was left of the one before.
func (c *crowd) input(s *subscriber, p []byte) error {
	if s.state == stateUpgrading {
		rest, done, err := c.handshake.answered(p)
		if err != nil {
			return err
		}
		if !done {
			s.partial = append(s.partial[:0], p...)
			return nil
		}
		p = rest
		if s.state = stateGreeting; !c.srv.target.pusher {
			if err := c.subscribe(s); err != nil {
				return err
			}
		}
	}
	for {
		op, payload, n, err := nextFrame(p)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		p = p[n:]
		if op == opText {
			if number, ok := messageNumber(c.prefix, payload); ok {
				if s.state != stateSubscribed {
					return fmt.Errorf("message %d before subscription_succeeded", number)
				}
				c.message(s, payload, number, n)
				continue
			}
		}
		if err := c.frame(s, op, payload, n); err != nil {
			return err
		}
	}
	if len(p) > 0 {
		s.partial = append(s.partial[:0], p...)
	} else {
		s.partial = nil
	}
	return nil
}

// message counts one reception.
func (c *crowd) message(s *subscriber, text []byte, number, wire int) {
	c.received++
	c.wireBytes += wire
	if number < len(c.perMessage) {
		c.perMessage[number]++
	}
	if c.onMessage != nil {
		c.onMessage(s, text, number)
	}
}

// frame handles every frame that is no message of ours.
func (c *crowd) frame(s *subscriber, op byte, payload []byte, wire int) error {
	switch op {
	case opClose:
		return fmt.Errorf("%s", closeText(payload))
	case opPing:
		return c.send(s, opPong, payload)
	case opText:
	default:
		return fmt.Errorf("%w: opcode %#x", errFrame, op)
	}
	event, _, _ := bytes.Cut(bytes.TrimPrefix(payload, []byte(`{"event":"`)), []byte(`"`))
	switch string(event) {
	case "pusher:connection_established":
		if s.state != stateGreeting {
			return fmt.Errorf("connection_established twice")
		}
		return c.subscribe(s)
	case "pusher_internal:subscription_succeeded":
		if s.state != stateSubscribing {
			return fmt.Errorf("subscription_succeeded without a subscribe")
		}
		s.state = stateSubscribed
		c.underWay--
		c.subscribed++
		c.success = wire
		if c.onSubscribed != nil {
			return c.onSubscribed(s, payload)
		}
	case "pusher:ping":
		return c.send(s, opText, []byte(`{"event":"pusher:pong","data":{}}`))
	case "pusher:error", "pusher:subscription_error":
		return fmt.Errorf("%.300s", payload)
	default:
		if c.onOther != nil {
			c.onOther(s, payload)
		}
	}
	return nil
}

func (c *crowd) subscribe(s *subscriber) error {
	s.state = stateSubscribing
	channel, from := c.channel, ""
	if c.channelOf != nil {
		channel = c.channelOf(int(s.number))
	}
	if c.recoverAt != nil {
		at := c.recoverAt(int(s.number))
		from = fmt.Sprintf(`,"recover":{"epoch":"%s","seq":%d}`, at.Epoch, at.Seq)
	}
	return c.send(s, opText, fmt.Appendf(nil, `{"event":"pusher:subscribe","data":{"auth":"","channel":"%s"%s}}`, channel, from))
}

func (c *crowd) send(s *subscriber, op byte, payload []byte) error {
	c.out = appendMasked(c.out[:0], op, payload)
	if n, err := unix.Write(int(s.fd), c.out); err != nil || n != len(c.out) {
		return fmt.Errorf("send: %d of %d bytes, %w", n, len(c.out), err)
	}
	return nil
}
