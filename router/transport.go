package router

import "github.com/holdfast-edge/holdfast/frame"

// Conns is what a Shard needs of the transport for its own connections. It is
// called on the loop's goroutine only. None of its methods calls the Shard back
// before it returns.
type Conns interface {
	// Send writes whole encoded frames; the bytes are borrowed until it returns.
	// What one connection is sent leaves in the order of the calls.
	Send(conn uint32, frames []byte)
	// Deliver is one step of a walk. The batch's bytes may be retained. False: nothing
	// was taken, since the connection is under Hold or too much waits for it.
	Deliver(conn uint32, b *frame.Batch) bool
	// Push is Deliver for a connection under Hold too. It closes a connection that too
	// much waits for; Closed then follows later.
	Push(conn uint32, b *frame.Batch)
	// Empty tells whether the kernel has taken everything that a connection was sent.
	// When not, and it is under Hold, Shard.Drained follows once it has.
	Empty(conn uint32) bool
	// Hold makes Deliver refuse the connection, and Shard.Drained be called for it,
	// until it is ended.
	Hold(conn uint32, on bool)
	// Close queues the Close frame of r. No Message follows; Closed does, later.
	Close(conn uint32, r frame.CloseReason)
	// Finish ends a stream whose whole answer was sent; with keep the client may send
	// another request. Closed follows, later.
	Finish(conn uint32, keep bool)
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
