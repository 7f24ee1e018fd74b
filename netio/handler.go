package netio

import "github.com/holdfast-edge/holdfast/frame"

// Handler is the session side of one loop. Every method runs on the loop's
// goroutine, must not block, and may call the loop's own Send, Deliver, Close
// and Resume. now is monotonic nanoseconds since the process started, read once
// a wake-up. A conn is a slot number; it names the same connection from Open
// until Closed has returned.
type Handler interface {
	// Open announces an upgraded connection. What it sends leaves in one write
	// with the 101. It may refuse by Close.
	Open(now int64, up *frame.Upgrade)
	// OpenStream announces a plain request that Config.Streams has claimed. The session
	// writes the whole answer by Send and Push and ends it by Finish or Close. period is
	// how long it may be silent before Ping is called, in seconds; 0 = for ever. events
	// tells that the answer is a text/event-stream. Closed follows as after Open.
	OpenStream(now int64, req *frame.StreamRequest) (period int, events bool)
	// Message hands over a complete data message; p is borrowed. It returns nil,
	// frame.ErrPause (handled, but do not read on until Resume) or a
	// frame.CloseReason.
	Message(now int64, conn uint32, op frame.Opcode, p []byte) error
	// Frame accounts for a control frame, or for a data frame that does not end
	// its message. It returns nil or a frame.CloseReason.
	Frame(now int64, conn uint32, control bool) error
	// Ping asks for a protocol-level ping to a silent connection.
	Ping(conn uint32)
	// Drained tells that the kernel has taken everything that waited for a connection
	// under Hold.
	Drained(now int64, conn uint32)
	// Closed is called exactly once for each Open, whoever ended the connection.
	Closed(now int64, conn uint32, r frame.CloseReason)
}

// Worker is the part of the session side that works on commands from other
// goroutines and on walks over many connections.
type Worker interface {
	// Command hands over one entry of the inbox, in order.
	Command(now int64, op uint8, arg uint64, ref any)
	// Work goes on with what is pending and returns true while more is. It
	// returns after 256 sockets or at the deadline.
	Work(now, deadline int64) bool
	// Tick is called once a second.
	Tick(now int64)
}

// Session is both parts; one value serves one loop.
type Session interface {
	Handler
	Worker
}
