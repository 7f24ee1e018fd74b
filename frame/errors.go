package frame

import "errors"

// Not a failure: the way a Sink says "enough for now".
var (
	// ErrPause is returned by a Sink method that has handled its frame but wants
	// no further one yet. Parse stops behind that frame and passes it on.
	ErrPause = errors.New("frame: paused by the sink")
)

// Errors of Head.Parse.
var (
	// ErrHeadPartial: the head is not complete and nothing in it is wrong so far.
	ErrHeadPartial = errors.New("frame: HTTP head is incomplete")
	// ErrHeadTooLarge: request line, fields or their count are over the limits.
	// Answer 431 and close.
	ErrHeadTooLarge = errors.New("frame: HTTP head is over its limits")
	// ErrHeadMalformed: not a request that RFC 9112 lets us believe. Answer 400
	// and close, since what follows the head cannot be told apart from a body.
	ErrHeadMalformed = errors.New("frame: HTTP head is malformed")
)

// Verdicts of the parser. Each is a CloseReason whose text tells the peer's
// developer what was wrong; they are errors from the start so that refusing a
// flood of bad frames allocates nothing.
var (
	errReservedBit     error = ProtocolError.With("reserved bit set (RFC 6455 5.2)")
	errOpcode          error = ProtocolError.With("reserved opcode (RFC 6455 5.2)")
	errNotMasked       error = ProtocolError.With("client frame is not masked (RFC 6455 5.1)")
	errLength          error = ProtocolError.With("length is not minimal or over 2^63 (RFC 6455 5.2)")
	errControlLength   error = ProtocolError.With("control frame over 125 bytes (RFC 6455 5.5)")
	errControlFragment error = ProtocolError.With("fragmented control frame (RFC 6455 5.5)")
	errNewMessage      error = ProtocolError.With("new message inside a fragmented one (RFC 6455 5.4)")
	errNoMessage       error = ProtocolError.With("continuation without a message (RFC 6455 5.4)")
	errCloseLength     error = ProtocolError.With("close payload of one byte (RFC 6455 5.5.1)")
	errCloseCode       error = ProtocolError.With("close code may not be sent (RFC 6455 7.4)")
	errDeflate         error = ProtocolError.With("compressed data is corrupt (RFC 7692 7.2.2)")

	errTextUTF8  error = BadUTF8
	errCloseUTF8 error = BadUTF8.With("close reason is not valid UTF-8")

	errTooLong     error = MessageTooBig.With("message is over limits.message_bytes")
	errInflated    error = MessageTooBig.With("inflated message is over limits.message_bytes")
	errTooManyFrag error = MessageTooBig.With("message has more frames than limits.fragments")
)
