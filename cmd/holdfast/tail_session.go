package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	// maxEventBytes is the largest message that tail takes.
	maxEventBytes = 16 << 20
	// pongWait is how long a server may take to answer a ping.
	pongWait = 30 * time.Second
	// defaultActivity holds until the server has said its own.
	defaultActivity = 120 * time.Second
	// tailUser is this client's member of a presence channel.
	tailUser = `{"user_id":"holdfast-tail"}`
)

// message is a frame of the Pusher protocol; data is kept as it came.
type message struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`

	// What holdfast adds; absent with other servers.
	Seq       uint64    `json:"seq"`
	Cached    bool      `json:"cached"`
	Position  *position `json:"position"`
	Recovered *bool     `json:"recovered"`
	Replayed  int       `json:"replayed"`
	Reason    string    `json:"reason"`
}

// text is the content of data, which the protocol wraps into a JSON string.
func (m *message) text() []byte {
	var s string
	if json.Unmarshal(m.Data, &s) == nil {
		return []byte(s)
	}
	return m.Data
}

// refusal is an end that reconnecting would not change.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// final says whether the server does not want this client back. Pusher: a
// client gives up for codes 4000 to 4099 and from 4300 on.
func final(err error) bool {
	var r refusal
	var c closedBy
	return errors.As(err, &r) || errors.As(err, &c) && (c.code >= 4000 && c.code < 4100 || c.code >= 4300)
}

// closedBy is the server's Close frame.
type closedBy struct {
	code   ws.StatusCode
	reason string
}

func (c closedBy) Error() string {
	return fmt.Sprintf("closed by the server with %d %q", c.code, c.reason)
}

// tailConn is one connection. Reads are the session's goroutine alone.
type tailConn struct {
	net.Conn
	reader io.Reader

	mu sync.Mutex // whole frames only
}

// write sends one frame; a lost connection shows at the next read.
func (c *tailConn) write(op ws.OpCode, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = wsutil.WriteClientMessage(c.Conn, op, payload)
}

func (c *tailConn) send(event string, data any) {
	body, err := marshal(struct {
		Event string `json:"event"`
		Data  any    `json:"data"`
	}{event, data})
	if err == nil {
		c.write(ws.OpText, body)
	}
}

// session is one connection from dial to its end. joined says that all
// channels were subscribed to; err is never nil.
func (t *tail) session(ctx context.Context) (joined bool, err error) {
	c, err := t.connect(ctx)
	if err != nil {
		return false, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()

	activity, err := t.establish(c)
	if err != nil {
		return false, err
	}
	done := make(chan struct{})
	defer close(done)
	go keepAlive(c, activity, done)

	missing := make(map[string]bool, len(t.channels))
	for _, channel := range t.channels {
		missing[channel] = true
	}
	for {
		m, line, err := c.read(activity + pongWait)
		if err != nil {
			return len(missing) == 0, err
		}
		switch {
		case m.Event == "pusher_internal:subscription_succeeded":
			delete(missing, m.Channel)
			t.joined(m)
		case m.Event == "pusher_internal:position":
			t.moved(m)
		case m.Event == "pusher:subscription_error":
			return false, refusal{fmt.Sprintf("%s: %s", m.Channel, errorText(m))}
		case m.Event == "pusher:error":
			t.note("the server says: %s", errorText(m))
		case m.Event == "pusher:ping":
			c.send("pusher:pong", struct{}{})
		case strings.HasPrefix(m.Event, "pusher:"), strings.HasPrefix(m.Event, "pusher_internal:"):
		default:
			if m.Seq != 0 && !m.Cached {
				at := t.at[m.Channel]
				at.Seq = m.Seq
				t.at[m.Channel] = at
			}
			fmt.Fprintf(t.p.out, "%s\n", line)
			t.seen++
			if t.seen == t.count {
				c.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
				return true, nil
			}
		}
	}
}

// connect opens the WebSocket.
func (t *tail) connect(ctx context.Context) (*tailConn, error) {
	u := *t.target.base
	u.Scheme = "ws" + strings.TrimPrefix(u.Scheme, "http")
	u.Path += "/app/" + t.target.app.Key
	u.RawQuery = "protocol=7&client=holdfast-tail"
	d := ws.Dialer{Timeout: dialTimeout, NetDial: t.target.dial}
	conn, buffered, _, err := d.Dial(ctx, u.String())
	if err != nil {
		var status ws.StatusError
		if errors.As(err, &status) {
			return nil, fmt.Errorf("%s answered %d and not with a WebSocket", t.target, int(status))
		}
		return nil, t.target.unreachable(err)
	}
	c := &tailConn{Conn: conn, reader: conn}
	if buffered != nil { // frames that came with the answer to the handshake
		c.reader = io.MultiReader(io.LimitReader(buffered, int64(buffered.Buffered())), conn)
	}
	c.reader = bufio.NewReader(c.reader)
	return c, nil
}

// establish waits for the socket id and subscribes to all channels.
func (t *tail) establish(c *tailConn) (activity time.Duration, err error) {
	m, _, err := c.read(pongWait)
	if err != nil {
		return 0, err
	}
	if m.Event == "pusher:error" {
		// The Close frame with the code follows and decides what to do.
		t.note("the server says: %s", errorText(m))
		_, _, err := c.read(pongWait)
		return 0, err
	}
	var hello struct {
		SocketID        string `json:"socket_id"`
		ActivityTimeout int    `json:"activity_timeout"`
	}
	if m.Event != "pusher:connection_established" || json.Unmarshal(m.text(), &hello) != nil || hello.SocketID == "" {
		return 0, refusal{fmt.Sprintf("%s does not speak the Pusher protocol: it began with %q", t.target, m.Event)}
	}
	for _, channel := range t.channels {
		c.send("pusher:subscribe", t.subscription(channel, hello.SocketID))
	}
	t.id = hello.SocketID
	if hello.ActivityTimeout <= 0 {
		return defaultActivity, nil
	}
	return time.Duration(hello.ActivityTimeout) * time.Second, nil
}

// subscribeData is the data of pusher:subscribe.
type subscribeData struct {
	Channel     string `json:"channel"`
	Auth        string `json:"auth,omitempty"`
	ChannelData string `json:"channel_data,omitempty"`

	// Additions that servers other than holdfast ignore.
	Recover *recovery `json:"recover,omitempty"`
	Rewind  any       `json:"rewind,omitempty"`
}

// recovery asks for what came after a position.
type recovery struct {
	position
	SocketID string `json:"socket_id,omitempty"`
}

func (t *tail) subscription(channel, socketID string) subscribeData {
	s := subscribeData{Channel: channel}
	if strings.HasPrefix(channel, "presence-") {
		s.ChannelData = tailUser
	}
	if s.ChannelData != "" || strings.HasPrefix(channel, "private-") {
		s.Auth = signSubscription(t.target.app, socketID, channel, s.ChannelData)
	}
	if at, ok := t.at[channel]; ok {
		s.Recover = &recovery{at, t.id}
	} else {
		s.Rewind = t.rewind
	}
	return s
}

// joined notes where a channel stands, and what of it was missed.
func (t *tail) joined(m *message) {
	former, had := t.at[m.Channel]
	delete(t.at, m.Channel)
	if m.Position != nil {
		t.at[m.Channel] = *m.Position
	}
	switch {
	case m.Recovered != nil && *m.Recovered:
		t.note("subscribed to %s again, %d missed events follow", m.Channel, m.Replayed)
	case m.Recovered != nil:
		t.note("subscribed to %s again, events since %s:%d are not shown (%s)", m.Channel, former.Epoch, former.Seq, m.Reason)
	case had:
		t.note("subscribed to %s again, events since the loss are not shown", m.Channel)
	case m.Replayed > 0:
		t.note("subscribed to %s, %d earlier events follow", m.Channel, m.Replayed)
	default:
		t.note("subscribed to %s", m.Channel)
	}
}

// moved takes over a position without an event.
func (t *tail) moved(m *message) {
	if m.Position == nil {
		return
	}
	t.at[m.Channel] = *m.Position
	if m.Reason != "" {
		t.note("%s: events may be missing here (%s)", m.Channel, m.Reason)
	}
}

// keepAlive pings whenever the server's idle time has passed, so that the
// connection is seen to live in both directions.
func keepAlive(c *tailConn, activity time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(activity)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.send("pusher:ping", struct{}{})
		case <-done:
			return
		}
	}
}

// read returns the next message and its text on one line. Control frames are
// answered on the way; a silence longer than limit is an error.
func (c *tailConn) read(limit time.Duration) (m *message, line []byte, err error) {
	r := wsutil.Reader{Source: c.reader, State: ws.StateClientSide, CheckUTF8: true, MaxFrameSize: maxEventBytes}
	r.OnIntermediate = func(h ws.Header, payload io.Reader) error { return c.control(h, payload) }
	for {
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return nil, nil, err
		}
		h, err := r.NextFrame()
		if err != nil {
			return nil, nil, lost(err)
		}
		if h.OpCode.IsControl() {
			if err := c.control(h, &r); err != nil {
				return nil, nil, lost(err)
			}
			continue
		}
		payload, err := io.ReadAll(io.LimitReader(&r, maxEventBytes+1))
		if err != nil {
			return nil, nil, lost(err)
		}
		if len(payload) > maxEventBytes {
			return nil, nil, fmt.Errorf("a message is larger than %d bytes", maxEventBytes)
		}
		m := new(message)
		if err := json.Unmarshal(payload, m); err != nil {
			return nil, nil, fmt.Errorf("a message is not JSON: %w", err)
		}
		if bytes.ContainsAny(payload, "\r\n") {
			var b bytes.Buffer
			if json.Compact(&b, payload) == nil {
				payload = b.Bytes()
			}
		}
		return m, payload, nil
	}
}

// control answers a ping or a close while no other frame is being written.
func (c *tailConn) control(h ws.Header, payload io.Reader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wsutil.ControlHandler{Src: payload, Dst: c.Conn, State: ws.StateClientSide, DisableSrcCiphering: true}.Handle(h)
}

// lost words the usual ends of a connection.
func lost(err error) error {
	var closed wsutil.ClosedError
	var timeout net.Error
	switch {
	case errors.As(err, &closed):
		return closedBy{closed.Code, closed.Reason}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("closed without a reason")
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the server is silent")
	}
	return err
}

// errorText is the readable part of pusher:error and pusher:subscription_error.
func errorText(m *message) string {
	var e struct {
		Code    int
		Message string
		Error   string
		Type    string
		Status  int
	}
	if json.Unmarshal(m.text(), &e) != nil {
		return string(m.text())
	}
	if e.Message != "" {
		return strings.TrimSpace(strconv.Itoa(e.Code) + " " + e.Message)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d: %s", e.Type, e.Status, e.Error))
}
