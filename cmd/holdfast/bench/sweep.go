package bench

import "time"

const (
	// sweepTime is how often each connection's times are looked at. One pass over a
	// million connections reads 56 MB in order.
	sweepTime = 500 * time.Millisecond
	// pongWait is how long the server may take to answer pusher:ping, as with stock clients.
	pongWait = 30 * time.Second
	// closeWait is how long the server may take to end a connection that leaves.
	closeWait = 5 * time.Second
)

// sweep looks at the next part of the connections, so that all are looked at in
// sweepTime whatever the number of turns.
func (l *loop) sweep(now int64) {
	all := l.share.len()
	n := 0
	if l.sweptAt != 0 {
		n = int(float64(all)*float64(now-l.sweptAt)/float64(sweepTime)) + 1
	}
	l.sweptAt = now
	ms := l.ms(now)
	for range min(n, all) {
		l.check(uint32(l.swept), l.conns.At(uint32(l.swept)), ms, now)
		if l.swept++; l.swept == all {
			l.swept = 0
		}
	}
}

// past says whether time ms has reached at; both wrap.
func past(ms, at uint32) bool { return int32(ms-at) >= 0 }

// check looks at the times of one connection.
func (l *loop) check(i uint32, c *conn, ms uint32, now int64) {
	switch c.state {
	case stateConnecting, stateUpgrading, stateGreeting, stateSubscribing:
		if past(ms, c.deadline) {
			l.lose(i, c, stageNames[c.state]+": timeout", againLater)
		}
	case stateWaiting:
		if past(ms, c.deadline) {
			l.comeBack(i, c, now)
		}
	case stateSubscribed:
		if c.deadline != 0 && past(ms, c.deadline) && l.current().kind == stepPublish {
			l.leave(i, c, ms)
			return
		}
		l.life(i, c, ms)
	case stateLeaving:
		if t := l.tracks.At(i * uint32(l.slots)); t.missing(c.mark) == 0 || past(ms, c.deadline) {
			c.state, c.deadline = stateClosing, ms+msOf(closeWait)
			l.send(i, c, opClose, byeFrame)
		}
	case stateClosing:
		if past(ms, c.deadline) {
			l.left(i, c)
		}
	}
}

// life pings a server that is silent, and gives up one that does not answer.
func (l *loop) life(i uint32, c *conn, ms uint32) {
	limit := uint32(c.activity) * 1000
	silent := ms - c.heard
	switch {
	case int32(silent) < 0: // heard within this turn, after the sweep's time was read
	case c.pinged && silent >= limit+msOf(pongWait):
		l.lose(i, c, "subscribed: no pong", againLater)
	case !c.pinged && silent >= limit:
		c.pinged = true
		l.tally.PingsSent++
		l.send(i, c, opText, pingText)
	}
}

// leave begins the end of a churning connection: events that were answered by now
// must still come.
func (l *loop) leave(i uint32, c *conn, ms uint32) {
	channel, _ := l.plan.channel(l.share.from+int(i), 0)
	c.state, c.mark, c.deadline = stateLeaving, l.board.answeredOn(channel), ms+msOf(l.p.Grace)
}
