package router

import "github.com/holdfast-edge/holdfast/frame"

// Conns is what a Shard needs of the transport for its own connections. It is
// called on the loop's goroutine only. None of its methods calls the Shard back
// before it returns.
type Conns interface {
	// Send writes whole encoded frames; the bytes are borrowed until it returns.
	// What one connection is sent leaves in the order of the calls.
	Send(conn uint32, frames []byte)
	// Deliver is one step of a walk. The batch's bytes may be retained. It may
	// decide to close the connection; Closed then follows later.
	Deliver(conn uint32, b *frame.Batch)
	// Close queues the Close frame of r. No Message follows; Closed does, later.
	Close(conn uint32, r frame.CloseReason)
	// Resume ends the pause that a Message asked for with frame.ErrPause.
	Resume(conn uint32)
}

// Loops reaches the loops' inboxes from any goroutine. An entry arrives at
// Shard.Command of that loop, in the order of the calls.
type Loops interface {
	// Count is the number of loops; it never changes.
	Count() int
	// MustPost appends an entry and never refuses. The router keeps its own account
	// of what is under way (Config.BacklogEvents) and refuses before it posts.
	MustPost(loop int, op uint8, arg uint64, ref any)
}
