package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// peerAddresses is how many source addresses (127.0.2.x) the peers take in turn: sockets that end by FIN leave their
// port in TIME_WAIT for a minute.
const peerAddresses = 16

// errEnded: the server ended the connection.
var errEnded = errors.New("rig: the server ended the connection")

// peers are client sockets with a will of their own, behind an epoll descriptor of their own. One goroutine owns them;
// turn is made to be called between the crowd's steps.
type peers struct {
	// Immutable after newPeers.
	ctx       context.Context
	srv       *server
	address   unix.SockaddrInet4
	handshake handshake
	epoll     int
	began     time.Time

	// What the experiment sets; each may be nil.
	onReady func(p *peer) error                                // it is subscribed, or greeted when it has no channel
	onEvent func(p *peer, event string, text []byte, size int) // any event that is not of the protocol
	onError func(p *peer, text []byte)                         // pusher:error
	onEnd   func(p *peer, err error)                           // the server ended it, or it failed
	onSent  func(p *peer) error                                // subscribe has been sent
	channel func(number int) string                            // of the peer with a number; nil: none subscribes

	// State.
	all    []*peer // by descriptor; nil: none
	opened int     // since newPeers
	live   int     // sockets that are open now
	in     []byte
	events []unix.EpollEvent
}

func newPeers(ctx context.Context, srv *server) (*peers, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &peers{
		ctx: ctx, srv: srv, handshake: newHandshake(fmt.Sprintf("127.0.0.1:%d", srv.port)), epoll: epoll, began: time.Now(),
		address: unix.SockaddrInet4{Port: srv.port, Addr: [4]byte{127, 0, 0, 1}},
		all:     make([]*peer, maxSockets+1024), in: make([]byte, readBytes), events: make([]unix.EpollEvent, eventsAtOnce),
	}, nil
}

// now is the clock of the peers. Unit: nanoseconds since they were made.
func (ps *peers) now() int64 { return int64(time.Since(ps.began)) }

// close ends every socket by RST.
func (ps *peers) close() {
	for _, p := range ps.all {
		if p != nil {
			ps.reset(p)
		}
	}
	unix.Close(ps.epoll)
}

// open starts one connection.
func (ps *peers) open() (*peer, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if fd >= len(ps.all) {
		unix.Close(fd)
		return nil, fmt.Errorf("descriptor %d: more sockets than the rig is made for", fd)
	}
	p := &peer{fd: fd, number: ps.opened}
	ps.opened++
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	from := unix.SockaddrInet4{Addr: [4]byte{127, 0, 2, byte(1 + p.number%peerAddresses)}}
	if err := unix.Bind(fd, &from); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind 127.0.2.%d: %w", from.Addr[3], err)
	}
	if err := unix.Connect(fd, &ps.address); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return nil, fmt.Errorf("connect: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(ps.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	if ps.channel != nil {
		p.channel = ps.channel(p.number)
	}
	ps.all[fd] = p
	ps.live++
	return p, nil
}

// reset ends a peer with RST.
func (ps *peers) reset(p *peer) { ps.end(p, reset) }

// finish ends a peer with FIN, or with RST when it left input unread: that is what close(2) does.
func (ps *peers) finish(p *peer) { ps.end(p, func(fd int) { unix.Close(fd) }) }

func (ps *peers) end(p *peer, by func(fd int)) {
	if p.state != peerEnded {
		p.state = peerEnded
		ps.all[p.fd] = nil
		ps.live--
		by(p.fd)
	}
}

// lose ends a peer that the server ended, or whose server said what it must not.
func (ps *peers) lose(p *peer, err error) {
	if p.state == peerEnded {
		return
	}
	ps.finish(p)
	if ps.onEnd != nil {
		ps.onEnd(p, err)
	}
}

// turn handles what has come; it waits for it for at most timeout ms.
func (ps *peers) turn(timeout int) error {
	n, err := epollWait(ps.epoll, ps.events, timeout)
	if err != nil {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	for _, e := range ps.events[:n] {
		if p := ps.all[e.Fd]; p != nil {
			if err := ps.edge(p, e.Events); err != nil {
				ps.lose(p, err)
			}
		}
	}
	return nil
}

// edge handles an edge of one peer's socket. What it returns ends the peer.
func (ps *peers) edge(p *peer, events uint32) error {
	if p.state == peerConnecting {
		request := ps.handshake.request
		if p.half {
			request = request[:len(request)/2]
		}
		n, err := unix.Write(p.fd, request)
		if err == unix.EAGAIN || err == unix.ENOTCONN {
			return nil
		}
		if err != nil || n != len(request) {
			return fmt.Errorf("send the handshake: %d bytes, %w", n, err)
		}
		p.state = peerUpgrading
	}
	if p.deaf {
		if events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			return errEnded
		}
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	for p.state != peerEnded && !p.deaf {
		n, err := rawRead(p.fd, ps.in)
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			return errEnded
		}
		if err := p.input(ps.in[:n], &ps.handshake, func(op byte, payload []byte, size int) error { return ps.frame(p, op, payload, size) }); err != nil {
			return err
		}
		if n < len(ps.in) && events&unix.EPOLLRDHUP == 0 {
			return nil // empty; what comes later is a new edge
		}
	}
	return nil
}

// frame handles one message.
func (ps *peers) frame(p *peer, op byte, payload []byte, size int) error {
	switch op {
	case opClose:
		return fmt.Errorf("%w: %s", errEnded, closeText(payload))
	case opPing:
		return p.say(opPong, payload)
	case opText:
	default:
		return fmt.Errorf("%w: opcode %#x", errFrame, op)
	}
	switch event := eventName(payload); event {
	case "pusher:connection_established":
		return ps.greeted(p, payload)
	case "pusher_internal:subscription_succeeded":
		p.state = peerReady
		if ps.onReady != nil {
			return ps.onReady(p)
		}
	case "pusher:ping":
		return p.say(opText, []byte(`{"event":"pusher:pong","data":{}}`))
	case "pusher:subscription_error":
		return fmt.Errorf("%.300s", payload)
	case "pusher:error":
		if ps.onError != nil {
			ps.onError(p, payload)
		}
	default:
		if ps.onEvent != nil {
			ps.onEvent(p, event, payload, size)
		}
	}
	return nil
}

// greeted subscribes a peer that has a channel.
func (ps *peers) greeted(p *peer, text []byte) (err error) {
	if p.socketID, err = socketIDOf(text); err != nil {
		return err
	}
	if p.channel == "" {
		p.state = peerReady
		if ps.onReady != nil {
			return ps.onReady(p)
		}
		return nil
	}
	p.state = peerSubscribing
	err = p.say(opText, fmt.Appendf(nil, `{"event":"pusher:subscribe","data":{"auth":"%s","channel":"%s"}}`, channelAuth(p.socketID, p.channel), p.channel))
	if err == nil && ps.onSent != nil {
		err = ps.onSent(p)
	}
	return err
}

// until handles input until done, and fails when limit has passed, the server exited, or the rig was interrupted.
func (ps *peers) until(limit time.Duration, what string, done func() (bool, error)) error {
	deadline := ps.now() + int64(limit)
	for {
		if over, err := done(); over || err != nil {
			return err
		}
		if err := ps.turn(1); err != nil {
			return err
		}
		if ps.now() > deadline {
			return fmt.Errorf("%w after %v: %s: %d opened, %d open", errTimeout, limit, what, ps.opened, ps.live)
		}
		select {
		case <-ps.ctx.Done():
			return ps.ctx.Err()
		case <-ps.srv.exited:
			return fmt.Errorf("%s: %s exited: %v\n%s", what, ps.srv.target.name, ps.srv.cmd.ProcessState, ps.srv.output())
		default:
		}
	}
}

// rest lets d pass and answers what comes.
func (ps *peers) rest(d time.Duration) error {
	end := ps.now() + int64(d)
	return ps.until(d+time.Minute, "rest", func() (bool, error) { return ps.now() >= end, nil })
}
