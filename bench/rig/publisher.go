package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// publisher is one keep-alive HTTP connection on which messages are published, one request at a time.
// It belongs to a crowd and is served by the same loop.
type publisher struct {
	c       *crowd
	fd      int           // -1 while there is no connection
	shape   *messageShape // of its messages; nil: the crowd's
	again   bool          // the same request is sent again and again: a signature is good for ten minutes
	patient bool          // an answer 503 is counted, not fatal
	request []byte        // signed and ready; nil: none
	next    int           // number of the message in request
	busy    bool          // a request is out, its answer has not come
	number  int           // of the message published last
	answers int           // publishes that were answered
	refused int           // of these, with 503
	in      []byte        // of the answer
}

// addPublishers opens n connections. They are in c.publishers by descriptor; the slice is in order of opening.
func (c *crowd) addPublishers(n int) ([]*publisher, error) {
	out := make([]*publisher, n)
	for i := range out {
		out[i] = &publisher{c: c, fd: -1, number: -1}
		if err := out[i].dial(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *publisher) dial() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 1, 250}}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("bind: %w", err)
	}
	if err := unix.Connect(fd, &p.c.address); err != nil {
		unix.Close(fd)
		return fmt.Errorf("connect to publish: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(p.c.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		unix.Close(fd)
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	p.fd, p.in, p.busy = fd, nil, false
	p.c.publishers[fd] = p
	return nil
}

func (p *publisher) close() {
	if p.fd >= 0 {
		delete(p.c.publishers, p.fd)
		reset(p.fd)
		p.fd = -1
	}
}

// prepare builds the request ahead of time, so that publish is one write(2).
func (p *publisher) prepare(number int) {
	shape := &p.c.shape
	if p.shape != nil {
		shape = p.shape
	}
	p.request = publishRequest(p.c.srv.target, p.c.host, *shape, number, time.Now().Unix())
	p.next = number
}

// publish sends message number. The caller waits until busy is false before the next one.
func (p *publisher) publish(number int) error {
	if p.busy {
		return fmt.Errorf("publish %d: message %d is not answered yet", number, p.number)
	}
	if p.request == nil || p.next != number && !p.again {
		p.prepare(number)
	}
	if p.fd < 0 { // the server ended an idle connection
		if err := p.dial(); err != nil {
			return err
		}
	}
	n, err := unix.Write(p.fd, p.request)
	if err != nil || n != len(p.request) {
		return fmt.Errorf("publish %d: %d of %d bytes sent, %w", number, n, len(p.request), err)
	}
	p.busy, p.number = true, number
	if !p.again {
		p.request = nil
	}
	return nil
}

// readable reads what has come of the answer.
func (p *publisher) readable() error {
	n, err := rawRead(p.fd, p.c.in)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil || n == 0 {
		busy, number := p.busy, p.number
		p.close()
		if busy {
			return fmt.Errorf("publish %d: connection closed instead of an answer (%v)", number, err)
		}
		return nil
	}
	p.in = append(p.in, p.c.in[:n]...)
	size, err := answer(p.in)
	refused := false
	if p.patient && errors.Is(err, errUnavailable) {
		refused = true
		size, err = len(p.in), nil // a short answer, and nothing behind it: the next request has not been sent
	}
	if err != nil {
		return fmt.Errorf("publish %d: %w", p.number, err)
	}
	if size > 0 {
		if size != len(p.in) {
			return fmt.Errorf("publish %d: %d bytes behind the answer", p.number, len(p.in)-size)
		}
		p.in, p.busy = p.in[:0], false
		p.answers++
		if refused {
			p.refused++
		}
		if p.c.onAnswer != nil {
			p.c.onAnswer(p, refused)
		}
	}
	return nil
}

// errUnavailable is a complete answer with status 503.
var errUnavailable = errors.New("rig: answer 503")

// answer returns the length of the complete HTTP response at the start of b, 0 while it is not complete, and an error
// when its status is not 200.
func answer(b []byte) (int, error) {
	head, body, found := bytes.Cut(b, []byte("\r\n\r\n"))
	if !found {
		return 0, nil
	}
	lines := bytes.Split(head, []byte("\r\n"))
	length := -1
	for _, l := range lines[1:] {
		name, value, _ := bytes.Cut(l, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			var err error
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, fmt.Errorf("answer: Content-Length %q", value)
			}
		}
	}
	if length < 0 {
		return 0, fmt.Errorf("answer without Content-Length: %.200q", b)
	}
	if len(body) < length {
		return 0, nil
	}
	if bytes.HasPrefix(b, []byte("HTTP/1.1 503 ")) {
		return 0, fmt.Errorf("%w: %.400q", errUnavailable, b)
	}
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("answer %.400q", b)
	}
	return len(head) + 4 + length, nil
}
