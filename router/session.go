package router

import (
	"github.com/holdfast-edge/holdfast/frame"
	"github.com/holdfast-edge/holdfast/frame/pusher"
	"github.com/holdfast-edge/holdfast/router/limit"
	"github.com/holdfast-edge/holdfast/tuning/invariant"
	"github.com/holdfast-edge/holdfast/tuning/offheap"
)

// session is what the router keeps for a connection: 48 bytes in a table that all
// loops share. The record of a slot is owned by the loop that owns the connection.
type session struct {
	gen           uint32       // the connection's generation; 0 = no session
	app           uint16       // index in Router.apps
	flags         sessionFlags //
	subscriptions uint32       // live ones, pending joins included
	first         uint32       // first membership; 0 = none
	prev, next    uint32       // slot + 1 of the neighbours in the loop's list; 0 = none
	frames        limit.Bucket // messages and fragments
	control       limit.Bucket // control frames
	subscribes    limit.Bucket // subscribe and unsubscribe messages
	clientEvents  limit.Bucket //
}

type sessionFlags uint16

const (
	flagDeflate sessionFlags = 1 << iota // permessage-deflate was negotiated
	flagSigned                           // Shard.signed has an entry
	flagPaused                           // in Shard.paused
	flagEnding                           // we have asked the transport to close it
	flagLooking                          // a request waits for the log: the connection is not read
	flagStream                           // plain HTTP: Shard.streams has an entry
	flagServed                           // established, and counted as a connection of its app
)

// connRef names a connection across goroutines. The zero value names none.
type connRef struct {
	slot, gen uint32
	loop      uint16
}

// pack fits a reference into an inbox argument of its own loop.
func (c connRef) pack() uint64 { return uint64(c.slot) | uint64(c.gen)<<32 }

// unpackRef is the inverse of pack, for the loop that received it.
func unpackRef(arg uint64) connRef { return connRef{slot: uint32(arg), gen: uint32(arg >> 32)} }

// sessionList is one loop's view of the session table: its own sessions, linked in
// the order of their opening.
type sessionList struct {
	table       *offheap.Table[session]
	first, last uint32 // slot + 1; 0 = none
	count       int
}

func (l *sessionList) at(slot uint32) *session { return l.table.At(slot) }

// is tells whether the connection that ref names is still there. ref must name a
// connection of this loop.
func (l *sessionList) is(ref connRef) bool { return ref.gen != 0 && l.at(ref.slot).gen == ref.gen }

func (l *sessionList) add(slot uint32, x *session) {
	x.prev, x.next = l.last, 0
	if l.last != 0 {
		l.at(l.last - 1).next = slot + 1
	} else {
		l.first = slot + 1
	}
	l.last = slot + 1
	l.count++
}

func (l *sessionList) remove(x *session) {
	if x.prev != 0 {
		l.at(x.prev - 1).next = x.next
	} else {
		l.first = x.next
	}
	if x.next != 0 {
		l.at(x.next - 1).prev = x.prev
	} else {
		l.last = x.prev
	}
	l.count--
}

// Open begins the session of an upgraded connection, or refuses it: then the error
// event and the close leave together with the 101.
func (s *Shard) Open(now int64, up *frame.Upgrade) {
	s.enter()
	s.now = now
	x := s.sessions.at(up.Slot)
	invariant.Check(x.gen == 0, "a slot was opened twice")
	*x = session{gen: up.Gen}
	s.sessions.add(up.Slot, x)
	if up.Deflate {
		x.flags |= flagDeflate
		s.deflate++
		s.r.deflaters.Add(1)
	}
	app, reason := s.entrance(up)
	if app == nil {
		s.closeWith(up.Slot, x, reason)
		return
	}
	x.app = uint16(app.index)
	x.flags |= flagServed
	var id [socketIDBytes]byte
	s.text = pusher.AppendEstablished(s.text[:0], string(s.socketID(id[:0], up.Slot, x)), up.ActivitySeconds, s.r.log != nil)
	s.send(up.Slot, x)
}

// Closed ends a session: its subscriptions, presence and sign-in.
func (s *Shard) Closed(now int64, conn uint32, _ frame.CloseReason) {
	s.enter()
	s.now = now
	x := s.sessions.at(conn)
	invariant.Check(x.gen != 0, "a connection was closed twice")
	if x.flags&flagStream != 0 {
		s.leaveStream(conn, x)
		delete(s.streams, conn)
	}
	for x.first != 0 {
		s.leave(conn, x, x.first, 0)
	}
	invariant.Check(x.subscriptions == 0, "a closed session's count of subscriptions is off")
	s.signOut(conn, x)
	if x.flags&flagDeflate != 0 {
		s.deflate--
		s.r.deflaters.Add(-1)
	}
	if x.flags&flagServed != 0 {
		s.appOf(x).connections.Add(-1)
	}
	s.passClosings(conn, x)
	s.sessions.remove(x)
	*x = session{}
}

// Message handles one complete message. p is borrowed until it returns.
//
// It returns nil; frame.ErrPause when the message was handled but the connection
// must not be read until Conns.Resume; or the frame.CloseReason to close with.
func (s *Shard) Message(now int64, conn uint32, op frame.Opcode, p []byte) error {
	s.enter()
	s.now = now
	err := s.message(conn, op, p)
	s.decoder.Forget(&s.msg)
	return err
}

// message handles p, which is read into s.msg.
func (s *Shard) message(conn uint32, op frame.Opcode, p []byte) error {
	x := s.sessions.at(conn)
	if x.flags&flagEnding != 0 {
		return nil
	}
	st := s.stats.app(s.appOf(x))
	st.receivedBytes.Add(uint64(len(p)))
	if op != frame.OpText {
		st.received[recvBinary].Add(1)
		return frame.BinaryRefused
	}
	kind := recvInvalid
	if s.decoder.Decode(p, &s.msg) == nil {
		kind = receivedKind(s.msg.Event)
	}
	st.received[kind].Add(1)
	if kind == recvSubscribe || kind == recvUnsubscribe {
		if kind == recvSubscribe {
			s.subscribe(conn, x)
		} else {
			s.unsubscribe(conn, x)
		}
		err := s.takeSubscribeToken(conn, x)
		if err == nil && x.flags&flagLooking != 0 {
			err = frame.ErrPause
		}
		return err
	}
	if err := s.takeFrameToken(x); err != nil {
		return err
	}
	switch kind {
	case recvPing:
		s.conns.Send(conn, pongFrame)
		s.countReply(x, len(pusher.Pong))
	case recvPong: // that it came is all it says
	case recvSignin:
		s.signIn(conn, x)
		if x.flags&flagLooking != 0 {
			return frame.ErrPause
		}
	case recvClientEvent:
		s.clientEvent(conn, x)
	default:
		s.sendError(conn, x, codeInvalidMessage, "Invalid message format")
	}
	return nil
}

// Frame accounts for a control frame, or for a data frame that does not end its
// message. It returns nil or the frame.CloseReason to close with.
func (s *Shard) Frame(now int64, conn uint32, control bool) error {
	s.enter()
	s.now = now
	x := s.sessions.at(conn)
	if control {
		return s.takeControlToken(x)
	}
	return s.takeFrameToken(x)
}

// Ping sends pusher:ping to a silent connection.
func (s *Shard) Ping(conn uint32) {
	s.enter()
	if x := s.sessions.at(conn); x.flags&flagStream != 0 {
		s.pingStream(conn, x)
		return
	}
	s.conns.Send(conn, pingFrame)
	s.countReply(s.sessions.at(conn), len(pusher.Ping))
}

// Ready-made frames; immutable.
var (
	pingFrame = frame.AppendFrame(nil, frame.OpText, pusher.Ping)
	pongFrame = frame.AppendFrame(nil, frame.OpText, pusher.Pong)
)

// appOf is the application of a session that was served.
func (s *Shard) appOf(x *session) *App { return s.r.app(int(x.app)) }

// socketIDBytes is room for the longest socket id: two 20-digit numbers and a dot.
const socketIDBytes = 41

// socketID appends a connection's socket id, which is computed and stored nowhere.
func (s *Shard) socketID(dst []byte, slot uint32, x *session) []byte {
	return s.r.socketIDs.Append(dst, uint16(s.id), slot, x.gen)
}

func (s *Shard) ref(slot uint32, x *session) connRef {
	return connRef{slot: slot, gen: x.gen, loop: uint16(s.id)}
}

// send writes s.text as one message.
func (s *Shard) send(slot uint32, x *session) {
	if x.flags&flagStream != 0 {
		if st := s.streams[slot]; !st.poll {
			s.sendEvent(slot, st, s.text)
		}
		return
	}
	s.out = frame.AppendFrame(s.out[:0], frame.OpText, s.text)
	s.conns.Send(slot, s.out)
	s.countReply(x, len(s.text))
	if cap(s.out) > keptScratch {
		s.text, s.out = nil, nil // a large presence list is rare; its memory is not kept
	}
}

// keptScratch is the largest scratch buffer that survives a call.
const keptScratch = 64 << 10

// sendError writes an in-band pusher:error. The connection stays.
func (s *Shard) sendError(slot uint32, x *session, code int, message string) {
	s.text = pusher.AppendError(s.text[:0], code, message)
	s.send(slot, x)
}

// closeWith closes a connection. Codes from 4000 on are announced by an error
// event, which clients of protocol 5 need and the others ignore.
func (s *Shard) closeWith(slot uint32, x *session, r frame.CloseReason) {
	if x.flags&flagEnding != 0 {
		return
	}
	if x.flags&flagStream != 0 {
		s.closeStream(slot, x, r)
		return
	}
	x.flags |= flagEnding
	if r.Code >= 4000 {
		s.sendError(slot, x, int(r.Code), r.Text)
	}
	s.conns.Close(slot, r)
}
