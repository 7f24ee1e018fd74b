package netio

import "github.com/holdfast-edge/holdfast/netio/wheel"

// connState is the life of a socket. It only moves down this list, and only its
// loop moves it.
type connState uint8

const (
	// stateFree: the descriptor is not ours, or belongs to somebody else.
	stateFree connState = iota
	// stateHandshake: bytes may be anything; they stay in the kernel until a head
	// is complete. Deadline Limits.Handshake. No session yet.
	stateHandshake
	// stateOpen: frames flow. The handler has been told by Open and is told of
	// every message once.
	stateOpen
	// stateClosing: our Close frame (or HTTP error) is queued or sent; nothing is
	// delivered any more, input is discarded. Deadline lingerTicks, again and again
	// for a peer that takes what was queued before, at most lingerMost.
	stateClosing
	// stateDead: the socket failed or ended; it is closed once the handler has
	// been told, at the end of the current turn.
	stateDead
)

// Flags of a record.
const (
	flagDeflate   uint16 = 1 << iota // permessage-deflate was negotiated
	flagPaused                       // the handler said ErrPause: not read until Resume
	flagPinged                       // pusher:ping is out, its answer is awaited
	flagEcho                         // on the echo path: no handler, wide limits
	flagOpened                       // the handler knows the connection: it must hear Closed
	flagShut                         // SHUT_WR was called
	flagReadAgain                    // in the loop's list of sockets to read again
	flagHalfShut                     // the peer sent FIN: read until EOF, whatever a read returns
	flagStream                       // a plain HTTP answer under way, no WebSocket
	flagEvents                       // the stream is a text/event-stream
	flagFinished                     // the stream's answer is complete
	flagKeep                         // and another request may follow
	flagHeld                         // the handler asked to be asked: Deliver refuses, Drained is told
	flagNoTurn                       // inside a large message, and not read before its turn
)

// record is all that a loop keeps for an idle connection, 36 bytes, in a table
// that is indexed by descriptor number and shared by all loops: each record is
// owned by the loop in its field, and the kernel's smallest-first numbering keeps
// the table dense.
type record struct {
	gen      uint32     // names this use of the slot; never 0 while in use
	loop     uint16     // owner
	flags    uint16     // see above
	state    connState  // see above
	listener uint8      // index in the server's listeners; metrics label
	activity uint16     // advertised activity timeout, seconds
	partial  uint32     // index in loop.partials: bytes inside a message; 0 = none
	queue    uint32     // index in loop.queues: bytes the kernel refused; 0 = none
	lastIn   wheel.Tick // last inbound byte
	pinged   wheel.Tick // when the ping under flagPinged was sent; closing: when that began
	acked    uint32     // tcpi_bytes_acked, low half, when the heartbeat last looked; closing: see taken
	scanned  uint32     // handshake: bytes already searched for the end of the head
}
