package netio

import (
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// arrive takes a socket into the loop: a fresh one waits for its first head, one
// from the netpoll door brings the head along and is adopted at once.
func (l *loop) arrive(n *newcomer) {
	slot := uint32(n.fd)
	r := l.records.At(slot)
	*r = record{gen: l.nextGen(), loop: uint16(l.id), state: stateHandshake, listener: n.listener, lastIn: l.tick}
	l.srv.noteSlot(slot)
	l.stats.state(stateHandshake).Add(1)
	if n.head == nil {
		l.shaking[slot] = newcomer{fd: n.fd, remote: n.remote, listener: n.listener}
		l.wheel.Set(slot, l.tick+l.srv.limits().handshake)
		return
	}
	l.adoptFromDoor(slot, r, n)
}

// nextGen numbers the uses of this loop's slots. Together with loop and slot it
// names a connection for the life of the process: it comes round only after
// 2^32 connections of one loop, and then the slot would have to be the same too.
func (l *loop) nextGen() uint32 {
	l.gens++
	if l.gens == 0 {
		l.gens = 1
	}
	return l.gens
}

// adoptFromDoor goes on with an upgrade that came as a later request of a
// keep-alive conversation. The 101 is written only now, after netpoll has let go:
// a client that keeps RFC 6455 section 4.1 sends nothing before it has the 101, so
// no byte can have been read by the other poller.
func (l *loop) adoptFromDoor(slot uint32, r *record, n *newcomer) {
	var h frame.Head
	if err := h.Parse(n.head, l.srv.limits().head); err != nil {
		l.refuse(slot, r, n.head, err)
		return
	}
	errno := l.kernel.watch(l.epfd, n.fd)
	if errno != 0 {
		// max_user_watches: the client is told inside the WebSocket, where its
		// library understands "over capacity, try again".
		l.srv.admission.lower()
		l.writeBestEffort(slot, frame.AppendUpgrade(nil, h.Key, ""))
		l.writeBestEffort(slot, l.srv.cfg.Farewell(frame.OverCapacity))
		l.writeBestEffort(slot, frame.AppendClose(nil, frame.OverCapacity))
		l.kill(slot, r, frame.OverCapacity)
		return
	}
	if l.srv.takesStream(&h) {
		l.openStream(slot, r, &h, n.remote)
		return
	}
	if !l.checkUpgrade(slot, r, &h) {
		return
	}
	l.adopt(slot, r, &h, n.remote)
}

func (l *loop) writeBestEffort(slot uint32, p []byte) { _, _ = l.kernel.write(int(slot), p) }

// shake looks at the first bytes of a socket without taking them (MSG_PEEK), so
// that a partial head costs no buffer and a socket that is not ours to serve can
// go to netpoll untouched. Epoll is edge-triggered: only new bytes bring it here.
func (l *loop) shake(slot uint32, r *record, events uint32) {
	lim := l.srv.limits()
	buf := l.scratch
	if most := lim.head.Max(); most >= len(buf) {
		buf = make([]byte, most+1) // limits far above their defaults
	}
	n, errno := l.kernel.peek(int(slot), buf)
	switch {
	case errno == syscall.EAGAIN:
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			l.endShake(slot, r, handshakeAborted)
			l.kill(slot, r, frame.PeerReset)
		}
		return
	case errno != 0, n == 0:
		l.endShake(slot, r, handshakeAborted)
		l.kill(slot, r, frame.PeerReset)
		return
	}
	p := buf[:n]
	if !frame.HeadComplete(p, int(r.scanned)) {
		r.scanned = uint32(n)
		if n > lim.head.Max() {
			l.refuse(slot, r, p, frame.ErrHeadTooLarge)
		} else if events&unix.EPOLLRDHUP != 0 {
			l.endShake(slot, r, handshakeAborted)
			l.kill(slot, r, frame.PeerReset)
		}
		return
	}
	var h frame.Head
	if err := h.Parse(p, lim.head); err != nil {
		l.refuse(slot, r, p, err)
		return
	}
	stream := l.srv.takesStream(&h)
	if !h.Upgrade && !stream {
		l.toDoor(slot, r)
		return
	}
	if !stream && !l.checkUpgrade(slot, r, &h) {
		return
	}
	if got, errno := l.kernel.discard(int(slot), h.Len); errno != 0 || got != h.Len {
		l.endShake(slot, r, handshakeAborted)
		l.kill(slot, r, frame.PeerReset)
		return
	}
	// The head in scratch is overwritten by the next read, which follows adoption.
	if stream {
		l.openStream(slot, r, &h, l.shaking[slot].remote)
		return
	}
	l.adopt(slot, r, &h, l.shaking[slot].remote)
}

// checkUpgrade refuses a broken upgrade request with its HTTP status.
func (l *loop) checkUpgrade(slot uint32, r *record, h *frame.Head) bool {
	if h.UpgradeError == 0 {
		return true
	}
	code, text := "bad_request", "not a valid WebSocket upgrade request (RFC 6455 section 4.1)"
	result := handshakeBadRequest
	if h.UpgradeError == 426 {
		code, text = "upgrade_required", "Sec-WebSocket-Version must be 13"
		result = handshakeVersion
	}
	l.answerHTTP(slot, r, result, frame.AppendHTTPError(nil, h.UpgradeError, code, text))
	return false
}

// refuse answers a head that cannot be served and closes. err is what Parse said
// of it.
func (l *loop) refuse(slot uint32, r *record, head []byte, err error) {
	if errors.Is(err, frame.ErrHeadTooLarge) {
		l.answerHTTP(slot, r, handshakeBadRequest, l.srv.limits().head.Over(head).AppendHTTP(nil))
		return
	}
	l.answerHTTP(slot, r, handshakeBadRequest, frame.AppendHTTPError(nil, 400, "bad_request", "malformed HTTP/1.1 request"))
}

func (l *loop) answerHTTP(slot uint32, r *record, result handshakeResult, response []byte) {
	l.endShake(slot, r, result)
	l.enterClosing(slot, r, frame.ProtocolError)
	l.emit(slot, r, response, 1)
	l.shutIfDrained(slot, r)
}

// toDoor gives a socket with a complete plain request to netpoll, its bytes still
// in the kernel.
func (l *loop) toDoor(slot uint32, r *record) {
	n := l.shaking[slot]
	l.endShake(slot, r, handshakeHTTP)
	_ = l.kernel.unwatch(l.epfd, int(slot))
	l.release(slot, r)
	l.srv.admission.left() // the door counts its own
	if err := l.srv.door.enter(int(slot), l.srv.localAddr(n.listener), n.remote.net()); err != nil {
		l.srv.cfg.Log.Warn("plain HTTP conversation refused", "err", err)
	}
}

// endShake closes the handshake's books: the half-open count of the address, the
// deadline, the counter.
func (l *loop) endShake(slot uint32, r *record, result handshakeResult) {
	n, ok := l.shaking[slot]
	if ok && !n.settled {
		l.srv.admission.settled(n.remote.Addr())
	}
	delete(l.shaking, slot)
	l.wheel.Cancel(slot)
	if n.settled && (result == handshakeTimeout || result == handshakeAborted) {
		return // a conversation that has ended
	}
	l.stats.handshakes[result].Add(1)
}

// quietTicks is how long a socket that has sent nothing yet may still send its
// request when the server is about to end: it has just connected, perhaps.
const quietTicks wheel.Tick = 1

// endQuiet ends the conversations that are between two requests, and gives sockets
// that have sent nothing little time: nobody waits for an answer there.
func (l *loop) endQuiet() {
	for slot, n := range l.shaking {
		r := l.records.At(slot)
		switch {
		case r.scanned > 0: // inside a head
		case n.settled:
			l.endShake(slot, r, handshakeTimeout)
			l.kill(slot, r, frame.Drain)
		default:
			l.wheel.Set(slot, l.tick+quietTicks)
		}
	}
}

// adopt turns the socket into a WebSocket where it is. The 101 and what the
// handler has to say at once leave in one write.
func (l *loop) adopt(slot uint32, r *record, h *frame.Head, remote remoteAddr) {
	l.endShake(slot, r, handshakeOK)
	l.moveState(r, stateOpen)
	r.lastIn = l.tick

	extensions := ""
	if l.srv.cfg.Compression {
		if answer, ok := frame.NegotiateDeflate(h.Extensions); ok {
			extensions = answer
			r.flags |= flagDeflate
		}
	}
	l.beginCork(slot)
	l.cork.buf = frame.AppendUpgrade(l.cork.buf, h.Key, extensions)
	if l.srv.cfg.EchoPath != "" && string(h.Path) == l.srv.cfg.EchoPath {
		r.flags |= flagEcho
		l.endCork(slot, r)
	} else {
		l.open(slot, r, h, remote.AddrPort)
		l.endCork(slot, r)
	}
	if r.state == stateOpen {
		l.readable(slot, r) // bytes that came right behind the head: their edge is past
	}
}

func (l *loop) open(slot uint32, r *record, h *frame.Head, remote netip.AddrPort) {
	advertised := l.srv.activity(r.gen)
	r.activity = uint16(advertised)
	r.flags |= flagOpened
	l.wheel.Set(slot, l.tick+wheel.Tick(advertised)+l.srv.limits().grace)
	l.stats.opened[r.listener].Add(1)
	path, ok := l.srv.stripPrefix(h.Path)
	if !ok {
		path = nil // the handler answers bad_path
	}
	l.session.Open(l.now, &frame.Upgrade{
		Path: path, RawQuery: h.RawQuery, Origin: h.Origin,
		Remote: remote, Loop: l.id, Slot: slot, Gen: r.gen,
		ActivitySeconds: advertised, Deflate: r.flags&flagDeflate != 0,
	})
}
