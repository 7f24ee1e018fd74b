package hftest

import (
	"bufio"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// DialOptions says what is asked for at the handshake.
type DialOptions struct {
	Target string      // default /app/app-key?protocol=7&client=hftest&version=1.0
	Header http.Header // added to the request: Origin, for example
}

const defaultTarget = "/app/" + AppKey + "?protocol=7&client=hftest&version=1.0"

// Conn is a WebSocket client of the Pusher protocol. Pings of both layers are
// answered by themselves; everything else is kept for the next Want.
type Conn struct {
	// Immutable after Dial.
	SocketID string
	t        testing.TB
	nc       net.Conn
	r        *bufio.Reader
	patience time.Duration
}

// Dial connects and waits for pusher:connection_established.
func (e *Edge) Dial() *Conn {
	e.t.Helper()
	c := e.DialRaw(DialOptions{})
	ev := c.WantEvent("pusher:connection_established")
	var established struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(ev.Text()), &established); err != nil || established.SocketID == "" {
		c.t.Fatalf("established without a socket id: %s", ev.Raw)
	}
	c.SocketID = established.SocketID
	return c
}

// DialRaw connects, expects 101 and waits for nothing else: a refusal comes
// inside the WebSocket.
func (e *Edge) DialRaw(o DialOptions) *Conn {
	e.t.Helper()
	if o.Target == "" {
		o.Target = defaultTarget
	}
	nc, err := net.DialTimeout("tcp", e.Addr, Patience)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { nc.Close() })
	c := &Conn{t: e.t, nc: nc, r: bufio.NewReader(nc), patience: Patience}
	c.handshake(e.Addr, o)
	return c
}

func (c *Conn) handshake(host string, o DialOptions) {
	c.t.Helper()
	if err := c.upgrade(host, o); err != nil {
		c.t.Fatal(err)
	}
}

// upgrade is the handshake; o.Target is set.
func (c *Conn) upgrade(host string, o DialOptions) error {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	key := base64.StdEncoding.EncodeToString(nonce)
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", o.Target, host, key)
	for name, values := range o.Header {
		for _, v := range values {
			fmt.Fprintf(&head, "%s: %s\r\n", name, v)
		}
	}
	head.WriteString("\r\n")
	c.deadline()
	if _, err := io.WriteString(c.nc, head.String()); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	// RFC 6455 section 4.2.2: the key and this identifier, hashed.
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if accept := base64.StdEncoding.EncodeToString(sum[:]); resp.StatusCode != http.StatusSwitchingProtocols ||
		resp.Header.Get("Sec-Websocket-Accept") != accept {
		return fmt.Errorf("handshake: %s, %v", resp.Status, resp.Header)
	}
	return nil
}

func (c *Conn) deadline() { _ = c.nc.SetDeadline(time.Now().Add(c.patience)) }

// Subscribe joins a channel, signing for the kinds that need it, and waits for
// success. A presence channel is joined as the user "1".
func (c *Conn) Subscribe(channel string) Event {
	c.t.Helper()
	if strings.HasPrefix(channel, "presence-") {
		return c.SubscribeAs(channel, `{"user_id":"1"}`)
	}
	data := map[string]string{"channel": channel, "auth": ""}
	if strings.HasPrefix(channel, "private-") {
		data["auth"] = c.Auth(channel)
	}
	c.Send("pusher:subscribe", "", data)
	return c.wantSuccess(channel)
}

// SubscribeAs joins a presence channel with the given channel data.
func (c *Conn) SubscribeAs(channel, channelData string) Event {
	c.t.Helper()
	c.Send("pusher:subscribe", "", map[string]string{
		"channel":      channel,
		"channel_data": channelData,
		"auth":         AppKey + ":" + hmacHex(AppSecret, c.SocketID+":"+channel+":"+channelData),
	})
	return c.wantSuccess(channel)
}

// SignIn signs in as a user and waits for the success.
func (c *Conn) SignIn(userData string) Event {
	c.t.Helper()
	c.Send("pusher:signin", "", map[string]any{
		"auth": AppKey + ":" + hmacHex(AppSecret, c.SocketID+"::user::"+userData), "user_data": userData,
	})
	return c.WantEvent("pusher:signin_success")
}

func (c *Conn) wantSuccess(channel string) Event {
	c.t.Helper()
	ev := c.WantEvent("pusher_internal:subscription_succeeded")
	if ev.Channel != channel {
		c.t.Fatalf("joined %q, wanted %q", ev.Channel, channel)
	}
	return ev
}

// Unsubscribe leaves a channel. The protocol has no answer to it.
func (c *Conn) Unsubscribe(channel string) {
	c.t.Helper()
	c.Send("pusher:unsubscribe", "", map[string]string{"channel": channel})
}

// Send sends a message; data is marshalled, channel "" is left out.
func (c *Conn) Send(event, channel string, data any) {
	c.t.Helper()
	message := map[string]any{"event": event, "data": data}
	if channel != "" {
		message["channel"] = channel
	}
	b, err := json.Marshal(message)
	if err != nil {
		c.t.Fatal(err)
	}
	c.SendText(string(b))
}

// SendText sends a text frame as it stands.
func (c *Conn) SendText(text string) {
	c.t.Helper()
	if err := c.writeFrame(opText, []byte(text)); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// writeFrame writes one masked frame of RFC 6455 section 5.2.
func (c *Conn) writeFrame(op byte, payload []byte) error {
	frame := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 0x80|127), uint64(n))
	}
	var mask [4]byte
	_, _ = rand.Read(mask[:]) // never fails
	frame = append(frame, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%4])
	}
	c.deadline()
	_, err := c.nc.Write(frame)
	return err
}

// readFrame reads one whole frame. The server masks nothing, fragments nothing
// and compresses nothing that was not asked for.
func (c *Conn) readFrame() (op byte, payload []byte, err error) {
	c.deadline()
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame header %x: fragmented, compressed or masked", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(c.r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(c.r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	if n > 16<<20 {
		return 0, nil, fmt.Errorf("frame of %d bytes", n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return head[0] & 0x0f, payload, err
}

// next returns the next message or close frame, answering pings on the way.
func (c *Conn) next() (op byte, payload []byte, err error) {
	for {
		op, payload, err := c.readFrame()
		switch {
		case err != nil:
			return 0, nil, err
		case op == opPing:
			err = c.writeFrame(opPong, payload)
		case op == opPong:
		case op == opText && strings.HasPrefix(string(payload), `{"event":"pusher:ping"`):
			err = c.writeFrame(opText, []byte(`{"event":"pusher:pong","data":{}}`))
		default:
			return op, payload, nil
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// Close closes with 1000 and waits for the server's answer.
func (c *Conn) Close() {
	c.t.Helper()
	if err := c.writeFrame(opClose, []byte{0x03, 0xe8}); err != nil {
		c.t.Fatal(err)
	}
	for {
		op, _, err := c.next()
		if err != nil {
			c.t.Fatalf("wanted an answer to the close: %v", err)
		}
		if op == opClose {
			c.nc.Close()
			return
		}
	}
}

// Drop ends the TCP connection with a reset.
func (c *Conn) Drop() {
	_ = c.nc.(*net.TCPConn).SetLinger(0)
	c.nc.Close()
}
