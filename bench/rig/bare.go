package main

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// bareChannel is the pub/sub channel of what is published past the servers.
const bareChannel = "bench-bare"

// bare is the least that a message through Redis takes: PUBLISH on one connection, SUBSCRIBE on another, nothing between
// them. Both belong to a crowd's loop, and a reception counts as one of a subscriber does.
type bare struct {
	c        *crowd
	from, to int    // descriptors
	out      []byte // the command
	want     []byte // what the subscription brings
	answered []byte
	got      []byte
	came     int64 // now() of c when the message was there; −1: it is not
	busy     bool
}

// newBare connects both. text is the message.
func newBare(c *crowd, redis *server, text []byte) (*bare, error) {
	b := &bare{c: c, from: -1, to: -1, came: -1}
	b.out = appendCommand(nil, "PUBLISH", bareChannel, string(text))
	b.want = fmt.Appendf(nil, "*3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(bareChannel), bareChannel, len(text), text)
	for _, one := range []struct {
		fd       *int
		readable func() error
	}{{&b.from, b.onAnswer}, {&b.to, b.onMessage}} {
		fd, err := dialRaw(redis.port)
		if err != nil {
			b.close()
			return nil, fmt.Errorf("connect to Redis: %w", err)
		}
		*one.fd = fd
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			b.close()
			return nil, fmt.Errorf("epoll_ctl: %w", err)
		}
		c.also[fd] = one.readable
	}
	unix.SetsockoptInt(b.to, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	if err := b.subscribe(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// dialRaw is a non-blocking connection to a port of 127.0.0.1.
func dialRaw(port int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (b *bare) close() {
	for _, fd := range []int{b.from, b.to} {
		if fd >= 0 {
			delete(b.c.also, fd)
			reset(fd)
		}
	}
}

func (b *bare) subscribe() error {
	if _, err := unix.Write(b.to, appendCommand(nil, "SUBSCRIBE", bareChannel)); err != nil {
		return fmt.Errorf("SUBSCRIBE: %w", err)
	}
	want := fmt.Appendf(nil, "*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(bareChannel), bareChannel)
	message := b.want
	b.want, b.busy, b.answered, b.came = want, false, b.answered[:0], -1
	err := b.c.until(broadcastTimeout, "SUBSCRIBE", func() bool { return b.came >= 0 })
	b.want = message
	return err
}

// publish sends the message once. The caller waits until done before the next one.
func (b *bare) publish() error {
	b.came, b.busy, b.answered, b.got = -1, true, b.answered[:0], b.got[:0]
	if n, err := unix.Write(b.from, b.out); err != nil || n != len(b.out) {
		return fmt.Errorf("PUBLISH: %d of %d bytes sent, %w", n, len(b.out), err)
	}
	return nil
}

func (b *bare) prepare()   {}
func (b *bare) done() bool { return b.came >= 0 && !b.busy }
func (b *bare) at() int64  { return b.came }

func (b *bare) onAnswer() error {
	n, err := rawRead(b.from, b.c.in)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("PUBLISH: Redis closed the connection (%v)", err)
	}
	b.answered = append(b.answered, b.c.in[:n]...)
	if !bytes.HasSuffix(b.answered, []byte("\r\n")) {
		return nil
	}
	if string(b.answered) != ":1\r\n" {
		return fmt.Errorf("%w: PUBLISH: %.200q", errReply, b.answered)
	}
	b.busy = false
	return nil
}

func (b *bare) onMessage() error {
	n, err := b.c.receive(b.to, b.c.in)
	if err == unix.EAGAIN {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("SUBSCRIBE: Redis closed the connection (%v)", err)
	}
	b.got = append(b.got, b.c.in[:n]...)
	if len(b.got) < len(b.want) {
		return nil
	}
	if !bytes.Equal(b.got, b.want) {
		return fmt.Errorf("%w: a subscription brought %.300q", errReply, b.got)
	}
	b.came, b.got = b.c.read, b.got[:0]
	return nil
}
