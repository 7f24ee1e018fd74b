package frame

import "net/netip"

// StreamRequest is a plain GET whose answer the session side writes itself, at once
// or over hours. Its slices borrow the request's bytes until the call that hands it
// over returns.
type StreamRequest struct {
	// Path is the request's path after path_prefix was removed.
	Path, RawQuery, Origin []byte
	LastEventID            []byte // nil when absent
	IfNoneMatch            []byte // nil when absent

	// Remote is the peer's address; invalid for a unix socket.
	Remote netip.AddrPort

	// Loop, Slot and Gen name the connection across goroutines. Gen is never 0.
	Loop      int
	Slot, Gen uint32

	// KeepAlive tells whether another request may follow an answer that has a length.
	KeepAlive bool
}

// AppendEventStream appends a message as an event of a text/event-stream, without
// an id. text has no line breaks.
func AppendEventStream(dst, text []byte) []byte {
	dst = append(dst, "data: "...)
	dst = append(dst, text...)
	return append(dst, '\n', '\n')
}
