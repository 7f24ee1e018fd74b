package api

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	// lingerBytes and lingerTime bound what is read and thrown away after a
	// refusal that left a body unread. Closing at once would reset the
	// connection, and a reset destroys the answer on its way to the client.
	lingerBytes = 1 << 20
	lingerTime  = 2 * time.Second
)

// conversation is the connection that fasthttp sees. It differs from the one
// inside in its Close alone.
type conversation struct {
	net.Conn

	// unread is set by the goroutine that serves the conversation, before it
	// closes: request bytes may still be on their way.
	unread atomic.Bool
}

// Close closes the connection, after it threw away a bounded rest of the
// request if the answer was given without reading it.
func (c *conversation) Close() error {
	if c.unread.CompareAndSwap(true, false) {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite() //nolint:errcheck // the Close below reports what matters
		}
		stop := time.AfterFunc(lingerTime, func() { c.Conn.Close() }) //nolint:errcheck // as above
		io.CopyN(io.Discard, c.Conn, lingerBytes)                     //nolint:errcheck // any end will do
		stop.Stop()
	}
	return c.Conn.Close()
}
