package api

import (
	"bytes"
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
// inside in its Close, and notes which part of a head has come.
type conversation struct {
	net.Conn

	// Owned by the goroutine that serves the conversation: what was read of the first
	// line since the last request, its CRLF included, and whether that has come.
	line  int
	lined bool

	// unread is set by the goroutine that serves the conversation, before it
	// closes: request bytes may still be on their way.
	unread atomic.Bool
}

func (c *conversation) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.lined {
		end := bytes.IndexByte(p[:n], '\n') + 1
		c.lined = end > 0
		if !c.lined {
			end = n
		}
		c.line += end
	}
	return n, err
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
