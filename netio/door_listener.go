package netio

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// doorSocket is a socket on its way into netpoll: a descriptor and both its
// addresses. netpoll keeps the addresses and does all further work itself, so
// nothing else of net.Conn is ever called.
type doorSocket struct {
	fd            int
	local, remote net.Addr
}

func (s *doorSocket) Fd() int                          { return s.fd }
func (s *doorSocket) LocalAddr() net.Addr              { return s.local }
func (s *doorSocket) RemoteAddr() net.Addr             { return s.remote }
func (s *doorSocket) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (s *doorSocket) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (s *doorSocket) Close() error                     { return unix.Close(s.fd) }
func (s *doorSocket) SetDeadline(time.Time) error      { return net.ErrClosed }
func (s *doorSocket) SetReadDeadline(time.Time) error  { return net.ErrClosed }
func (s *doorSocket) SetWriteDeadline(time.Time) error { return net.ErrClosed }

// doorListener is the listener that netpoll serves: a queue of sockets that were
// accepted long before. Its descriptor is an eventfd, readable exactly while the
// queue is not empty; netpoll watches it level-triggered.
type doorListener struct {
	// Immutable.
	event   int
	dropped func(n int) // n sockets were closed unserved

	mu     sync.Mutex
	queue  []*doorSocket
	closed bool // event is closed; the queue stays empty
}

func newDoorListener(dropped func(n int)) (*doorListener, error) {
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &doorListener{event: event, dropped: dropped}, nil
}

// push queues a socket; false means that the listener is closed.
func (l *doorListener) push(s *doorSocket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.queue = append(l.queue, s)
	if len(l.queue) == 1 {
		// Fails only with a full counter, and ours is never above one.
		_, _ = unix.Write(l.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
	return true
}

// Accept pops one socket. No socket and no error tell netpoll that none waits.
func (l *doorListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return nil, nil
	}
	s := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
		var count [8]byte
		_, _ = unix.Read(l.event, count[:])
	}
	return s, nil
}

// Close closes the eventfd, which netpoll has stopped to watch, and the sockets
// that wait. It is idempotent.
func (l *doorListener) Close() error {
	l.mu.Lock()
	waiting := l.queue
	l.queue = nil
	if !l.closed {
		l.closed = true
		_ = unix.Close(l.event)
	}
	l.mu.Unlock()
	for _, s := range waiting {
		_ = s.Close()
	}
	l.dropped(len(waiting))
	return nil
}

// Fd is the descriptor that netpoll watches.
func (l *doorListener) Fd() int { return l.event }

// Addr is the listener's own; each socket brings its real addresses along.
func (l *doorListener) Addr() net.Addr { return &net.UnixAddr{Name: "door", Net: "unix"} }
