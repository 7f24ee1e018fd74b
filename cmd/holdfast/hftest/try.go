package hftest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// CloseError is a Close frame of the server.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string { return fmt.Sprintf("closed with %d %q", e.Code, e.Reason) }

// Connect makes a Conn of a TCP connection to a server, or to what stands before it,
// and waits for pusher:connection_established. It is for clients that are cut off on
// purpose: only the methods with Try in their name may be used then, and each
// reports an error when nothing moves for patience.
func Connect(nc net.Conn, patience time.Duration) (*Conn, error) {
	c := &Conn{nc: nc, r: bufio.NewReader(nc), patience: patience}
	if err := c.upgrade("edge", DialOptions{Target: defaultTarget}); err != nil {
		return nil, err
	}
	ev, err := c.TryNext()
	if err != nil {
		return nil, err
	}
	var established struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(ev.Text()), &established); err != nil || established.SocketID == "" {
		return nil, fmt.Errorf("wanted pusher:connection_established, got %s", ev.Raw)
	}
	c.SocketID = established.SocketID
	return c, nil
}

// TryNext returns the next message; a Close frame is a *CloseError.
func (c *Conn) TryNext() (Event, error) { return c.nextEvent() }

// TrySend sends a text frame as it stands.
func (c *Conn) TrySend(text string) error { return c.writeFrame(opText, []byte(text)) }

// Auth is the signature with which the connection subscribes to a private channel.
func (c *Conn) Auth(channel string) string {
	return AppKey + ":" + hmacHex(AppSecret, c.SocketID+":"+channel)
}
