// Package frame turns bytes into WebSocket messages and HTTP upgrade heads, and
// back. It knows RFC 6455, RFC 7692 and the head of RFC 9112, and nothing of
// sockets, goroutines or clocks.
//
// # Owner
//
// Functions hold no state. A Parser and a Deflater each belong to one goroutine.
// A State belongs to the connection that it was returned for, and goes back to
// the Parser that made it. A Prepared and a Batch are immutable once handed over
// and may then be read by anybody.
//
// # Bytes and states
//
// A connection that is exactly between two messages has no State. A frame that
// lies whole in the input is unmasked where it is and handed on, without copy or
// allocation. What is handed to a Sink is borrowed until the Sink returns; builds
// with -tags invariants overwrite it afterwards, so that a stored slice shows.
//
//	nil ──part of a header──> header ──rest of it──┐
//	 │                                             v
//	 ├──part of a payload──> payload (data or control) ──end of it──┐
//	 │                          ^                                   v
//	 └──whole fragment──────────┴── between frames of a message ──last fragment──> nil
//
// # What it refuses
//
// Everything that the RFCs forbid, with the close code that they name; a length
// before it is believed; a message over its limit before or after inflating; an
// HTTP head that two readers could understand differently.
package frame
