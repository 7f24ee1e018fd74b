package hftest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Event is one message of the server.
type Event struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"` // as on the wire: mostly a JSON string that holds JSON
	UserID  string          `json:"user_id"`
	Raw     string          `json:"-"` // the whole message
}

// Text is the data string, or the data as it stands when it is no string.
func (ev Event) Text() string {
	var s string
	if json.Unmarshal(ev.Data, &s) == nil {
		return s
	}
	return string(ev.Data)
}

// WantEvent expects the next message to be that event.
func (c *Conn) WantEvent(event string) Event {
	c.t.Helper()
	ev, err := c.nextEvent()
	if err != nil {
		c.t.Fatalf("wanted %s: %v", event, err)
	}
	if ev.Event != event {
		c.t.Fatalf("wanted %s, got %s", event, ev.Raw)
	}
	return ev
}

// AwaitEvent passes over other messages until that event comes.
func (c *Conn) AwaitEvent(event string) Event {
	c.t.Helper()
	for {
		ev, err := c.nextEvent()
		if err != nil {
			c.t.Fatalf("waited for %s: %v", event, err)
		}
		if ev.Event == event {
			return ev
		}
	}
}

func (c *Conn) nextEvent() (Event, error) {
	op, payload, err := c.next()
	if err != nil {
		return Event{}, err
	}
	if op == opClose {
		code, reason := closePayload(payload)
		return Event{}, &CloseError{Code: code, Reason: reason}
	}
	ev := Event{Raw: string(payload)}
	if err := json.Unmarshal(payload, &ev); err != nil {
		return Event{}, fmt.Errorf("%v in %q", err, payload)
	}
	return ev, nil
}

// WantError expects the next message to be pusher:error with that code, and
// returns its text.
func (c *Conn) WantError(code int) (message string) {
	c.t.Helper()
	ev := c.WantEvent("pusher:error")
	var data struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(ev.Data, &data); err != nil || data.Code != code {
		c.t.Fatalf("wanted pusher:error %d, got %s", code, ev.Raw)
	}
	return data.Message
}

// WantClose expects a Close frame with that code, after any messages, and then
// the end of the stream. It returns the reason.
func (c *Conn) WantClose(code int) (reason string) {
	c.t.Helper()
	for {
		op, payload, err := c.next()
		if err != nil {
			c.t.Fatalf("wanted close %d: %v", code, err)
		}
		if op != opClose {
			continue
		}
		got, reason := closePayload(payload)
		if got != code {
			c.t.Fatalf("wanted close %d, got %d %q", code, got, reason)
		}
		if b, err := c.r.ReadByte(); err != io.EOF {
			c.t.Fatalf("after close %d: byte %x, %v, wanted the end of the stream", code, b, err)
		}
		return reason
	}
}

func closePayload(p []byte) (code int, reason string) {
	if len(p) < 2 {
		return 1005, ""
	}
	return int(binary.BigEndian.Uint16(p)), string(p[2:])
}

// Settled returns when the server has executed everything sent before: it joins
// a channel of its own and leaves it, passing over what arrives meanwhile.
func (c *Conn) Settled() {
	c.t.Helper()
	room := "settled-" + strings.ReplaceAll(c.SocketID, ".", "-")
	c.Send("pusher:subscribe", "", map[string]string{"channel": room, "auth": ""})
	for c.AwaitEvent("pusher_internal:subscription_succeeded").Channel != room {
	}
	c.Unsubscribe(room)
}
