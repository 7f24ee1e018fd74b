package bench

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

var (
	pingText = []byte(`{"event":"pusher:ping","data":{}}`)
	pongText = []byte(`{"event":"pusher:pong","data":{}}`)
	// byeFrame is the payload of the Close frame of a connection that leaves: 1000.
	byeFrame = []byte{1000 >> 8, 1000 & 0xFF}
)

// maxOutBytes bounds what waits for room in the kernel: a server that reads
// nothing must not fill this side's memory. All subscriptions of one connection fit.
const maxOutBytes = 64 << 20

// send sends one frame, or keeps it until the kernel has room.
func (l *loop) send(i uint32, c *conn, op byte, payload []byte) {
	l.out = appendMasked(l.out[:0], op, payload)
	l.write(i, c, l.out)
}

func (l *loop) write(i uint32, c *conn, p []byte) {
	n := 0
	if c.out == 0 {
		var err error
		if n, err = rawSend(c.fd, p); err != nil && err != unix.EAGAIN {
			l.lose(i, c, stageNames[c.state]+": "+errnoName(err), againLater)
			return
		}
	}
	if n == len(p) {
		return
	}
	if len(l.held.bytes(c.out))+len(p) > maxOutBytes {
		l.lose(i, c, "the server does not read", againLater)
		return
	}
	l.held.append(&c.out, p[n:])
}

// flush goes on with what the kernel did not take; ok is false when the connection
// was lost.
func (l *loop) flush(i uint32, c *conn) (ok bool) {
	p := l.held.bytes(c.out)
	n, err := rawSend(c.fd, p)
	if err != nil && err != unix.EAGAIN {
		l.lose(i, c, stageNames[c.state]+": "+errnoName(err), againLater)
		return false
	}
	if n > 0 {
		l.held.set(&c.out, p[n:])
	}
	return true
}

func randomUpTo(d time.Duration) int64 { return rand.Int64N(int64(d)) }

func since(from, to int64) time.Duration { return time.Duration(to - from) }
