package bench

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// apiState is what a connection to the HTTP API does.
type apiState uint8

const (
	// apiDialing: connect(2) is under way.
	apiDialing apiState = iota
	// apiIdle: may take the next request.
	apiIdle
	// apiBusy: a request is out, its answer has not come.
	apiBusy
	// apiClosed: has no socket any more and is taken off the list.
	apiClosed
)

// apiConn is one keep-alive connection to the HTTP API.
type apiConn struct {
	fd       int32
	state    apiState
	deadline int64  // ns: of apiDialing and apiBusy
	out, in  []byte // what is to be sent; what has come of the answer

	// Of the request under way.
	first, channels int
	number          uint32
	due             int64
}

const maxAnswerBytes = 1 << 20

func (p *publisher) idle() *apiConn {
	for _, c := range p.conns {
		if c.state == apiIdle {
			return c
		}
	}
	return nil
}

func (p *publisher) count(state apiState) (n int) {
	for _, c := range p.conns {
		if c.state == state {
			n++
		}
	}
	return n
}

func (p *publisher) busy() int    { return p.count(apiBusy) }
func (p *publisher) dialing() int { return p.count(apiDialing) }

func (p *publisher) dial(now int64) {
	fd, err := unix.Socket(family(p.target.destinations[0]), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.undialed(now, "socket: "+errnoName(err))
		return
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, p.address)
	if err == nil || err == unix.EINPROGRESS {
		ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
		err = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
	}
	if err != nil {
		unix.Close(fd)
		p.undialed(now, "connect: "+errnoName(err))
		return
	}
	p.conns = append(p.conns, &apiConn{fd: int32(fd), state: apiDialing, deadline: now + int64(answerTimeout)})
	p.result.Open = max(p.result.Open, len(p.conns))
}

// undialed notes a connect that failed. No event is lost by it: the next one is
// sent by whoever is free, later.
func (p *publisher) undialed(now int64, reason string) {
	p.redial = now + int64(redialAfter)
	count(p.result.Reasons, "API "+reason, 1)
}

// hangUp closes c; a request under way has failed.
func (p *publisher) hangUp(c *apiConn, reason string) {
	switch c.state {
	case apiBusy:
		p.fail(c, reason, "")
	case apiDialing:
		p.undialed(p.clock.now(), reason)
	}
	reset(c.fd)
	c.state = apiClosed
	for i, one := range p.conns {
		if one == c {
			p.conns = append(p.conns[:i], p.conns[i+1:]...)
			return
		}
	}
}

func (p *publisher) close() {
	for _, c := range p.conns {
		reset(c.fd)
	}
}

// expire gives up requests and connects that take too long; ten times a second is
// often enough.
func (p *publisher) expire(now int64) {
	if now-p.looked < int64(tellEvery) {
		return
	}
	p.looked = now
	for i := len(p.conns) - 1; i >= 0; i-- {
		if c := p.conns[i]; c.state != apiIdle && now > c.deadline {
			p.hangUp(c, "timeout")
		}
	}
}

func (p *publisher) poll(wait time.Duration) error {
	n, err := epollWait(p.epoll, p.events)
	if err == nil && n == 0 && wait > 0 {
		if err = sleepOn(p.epoll, wait); err == nil {
			n, err = epollWait(p.epoll, p.events)
		}
	}
	if err != nil {
		return fmt.Errorf("bench: wait for the API: %w", err)
	}
	for i := range p.events[:n] {
		for _, c := range p.conns {
			if c.fd == p.events[i].Fd {
				p.ready(c)
				break
			}
		}
	}
	return nil
}

func (p *publisher) ready(c *apiConn) {
	if c.state == apiDialing {
		errno, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil || errno != 0 {
			p.hangUp(c, "connect: "+errnoName(unix.Errno(errno)))
			return
		}
		if _, err := unix.Getpeername(int(c.fd)); err != nil {
			return // not yet
		}
		c.state = apiIdle
	}
	if len(c.out) > 0 && !p.flush(c) {
		return
	}
	for c.state != apiClosed {
		n, err := rawRead(c.fd, p.in)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			return
		case n == 0:
			p.ended(c, err)
			return
		}
		c.in = append(c.in, p.in[:n]...)
		p.answer(c)
	}
}

// flush sends the rest of a request.
func (p *publisher) flush(c *apiConn) (ok bool) {
	n, err := rawSend(c.fd, c.out)
	if err != nil && err != unix.EAGAIN {
		p.hangUp(c, errnoName(err))
		return false
	}
	c.out = c.out[:copy(c.out, c.out[n:])]
	return true
}

// ended handles the server's end of a connection, which may be the end of an
// answer without a length.
func (p *publisher) ended(c *apiConn, err error) {
	if err == nil {
		err = io.EOF
		if a, ok := parseAnswer(c.in, true); ok && c.state == apiBusy {
			p.judge(c, a)
		}
	}
	p.hangUp(c, "API "+errnoName(err))
}

// answer looks whether the answer is complete.
func (p *publisher) answer(c *apiConn) {
	a, ok := parseAnswer(c.in, false)
	switch {
	case !ok && len(c.in) > maxAnswerBytes:
		p.hangUp(c, "answer above 1 MiB")
	case !ok:
	case c.state != apiBusy || a.length != len(c.in):
		p.hangUp(c, "bytes that nobody asked for")
	default:
		p.judge(c, a)
		if a.last {
			p.hangUp(c, "")
		}
	}
}

// judge ends the request under way.
func (p *publisher) judge(c *apiConn, a httpAnswer) {
	if a.status != 200 {
		p.fail(c, fmt.Sprintf("HTTP %d", a.status), fmt.Sprintf("HTTP %d %s", a.status, a.body))
	} else {
		now := p.clock.now()
		p.result.Answered++
		p.result.Ended = now
		p.result.Answer.Add(since(c.due, now))
		c.state = apiIdle
		p.answered(c)
	}
	c.in, c.out = c.in[:0], c.out[:0]
}

// httpAnswer is one answer of the HTTP API.
type httpAnswer struct {
	status int
	body   []byte // as it was sent: chunks are not joined
	length int    // of the whole
	last   bool   // the server ends the connection behind it
}

// parseAnswer reads the answer at the start of p; ok is false while it is not
// complete. ended says that no more will come.
func parseAnswer(p []byte, ended bool) (a httpAnswer, ok bool) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		return a, false
	}
	line, fields := cutLine(p[:end])
	if a.status, ok = statusOf(line); !ok {
		return httpAnswer{status: 0, body: p, length: len(p), last: true}, true
	}
	length, chunked := -1, false
	a.last = bytes.HasPrefix(line, []byte("HTTP/1.0"))
	for len(fields) > 0 {
		line, fields = cutLine(fields)
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "content-length"):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil {
				return httpAnswer{body: p, length: len(p), last: true}, true
			}
			length = int(n)
		case equalFold(name, "transfer-encoding"):
			chunked = equalFold(value, "chunked")
		case equalFold(name, "connection"):
			a.last = equalFold(value, "close") || a.last && !equalFold(value, "keep-alive")
		}
	}
	rest := p[end+4:]
	switch {
	case chunked:
		length, ok = chunksEnd(rest)
	case length < 0:
		length, ok, a.last = len(rest), ended, true
	default:
		ok = len(rest) >= length
	}
	if !ok {
		return a, false
	}
	a.body, a.length = rest[:length], end+4+length
	return a, true
}

// chunksEnd is the length of a chunked body; ok is false while it is not complete.
func chunksEnd(p []byte) (length int, ok bool) {
	at := 0
	for {
		line, _, found := bytes.Cut(p[at:], []byte("\r\n"))
		if !found {
			return 0, false
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil || n > maxAnswerBytes {
			return len(p), true // nonsense ends here: what follows is not asked for
		}
		at += len(line) + 2
		if n == 0 {
			break
		}
		if at += int(n) + 2; at > len(p) {
			return 0, false
		}
	}
	for { // trailers
		line, _, found := bytes.Cut(p[at:], []byte("\r\n"))
		if !found {
			return 0, false
		}
		if at += len(line) + 2; len(line) == 0 {
			return at, true
		}
	}
}
