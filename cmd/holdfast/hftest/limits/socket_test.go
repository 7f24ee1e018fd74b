package limits

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/hftest"
)

// The first byte of a frame (RFC 6455 section 5.2).
const (
	fin      = 0x80
	rsv1     = 0x40
	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// socket is a client that does nothing by itself, not even answer a ping. Its
// methods return errors, because storms play rounds on goroutines of their own.
type socket struct {
	nc *net.TCPConn
	r  *bufio.Reader
	id string // socket id, of a joined one
}

// how says how to connect.
type how struct {
	target  string // default: /app/app-key?protocol=7
	header  string // more fields for the handshake, with their CRLFs
	from    string // local address; "" = any
	receive int    // SO_RCVBUF; 0 = what the kernel gives
}

// connect makes a TCP connection and sends nothing.
func connect(edge *hftest.Edge, h how) (*socket, error) {
	dialer := net.Dialer{Timeout: hftest.Patience}
	if h.from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(h.from)}
	}
	if h.receive > 0 {
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			if failed := raw.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, h.receive)
			}); failed != nil {
				return failed
			}
			return err
		}
	}
	nc, err := dialer.Dial("tcp", edge.Addr)
	if err != nil {
		return nil, err
	}
	return &socket{nc: nc.(*net.TCPConn), r: bufio.NewReaderSize(nc, 4096)}, nil
}

// upgradeHead is the request of a handshake.
func (h how) upgradeHead() string {
	target := h.target
	if target == "" {
		target = "/app/" + hftest.AppKey + "?protocol=7"
	}
	return "GET " + target + " HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: aG9sZGZhc3QgaG9sZGZhcw==\r\nSec-WebSocket-Version: 13\r\n" + h.header + "\r\n"
}

// upgrade connects and is answered 101.
func upgrade(edge *hftest.Edge, h how) (*socket, error) {
	s, err := connect(edge, h)
	if err != nil {
		return nil, err
	}
	if err = s.write([]byte(h.upgradeHead())); err == nil {
		err = s.switched()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// switched reads the 101.
func (s *socket) switched() error {
	s.patience()
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("handshake: %s %s", resp.Status, body)
	}
	return nil
}

// join upgrades, is established, and subscribes to public channels.
func join(edge *hftest.Edge, h how, channels ...string) (*socket, error) {
	s, err := upgrade(edge, h)
	if err != nil {
		return nil, err
	}
	if err = s.established(); err == nil {
		for _, channel := range channels {
			if err = s.subscribe(channel, "", ""); err == nil {
				err = s.subscribed(channel)
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) established() error {
	ev, err := s.want("pusher:connection_established")
	if err != nil {
		return err
	}
	var data struct {
		SocketID string `json:"socket_id"`
	}
	err = json.Unmarshal([]byte(ev.Text()), &data)
	s.id = data.SocketID
	return err
}

func (s *socket) close() { s.nc.Close() }

func (s *socket) patience() { _ = s.nc.SetDeadline(time.Now().Add(hftest.Patience)) }

func (s *socket) write(p []byte) error {
	s.patience()
	_, err := s.nc.Write(p)
	return err
}

// appendFrame appends a masked frame. The key is zero, so the payload stays.
func appendFrame(dst []byte, first byte, payload []byte) []byte {
	return append(appendHeader(dst, first, uint64(len(payload))), payload...)
}

// appendHeader appends the header of a frame that declares n bytes.
func appendHeader(dst []byte, first byte, n uint64) []byte {
	const mask = 0x80
	switch {
	case n < 126:
		dst = append(dst, first, mask|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, mask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, mask|127), n)
	}
	return append(dst, 0, 0, 0, 0)
}

func (s *socket) frame(first byte, payload []byte) error {
	return s.write(appendFrame(nil, first, payload))
}

func (s *socket) text(text string) error { return s.frame(fin|opText, []byte(text)) }

// texts sends messages in one write.
func (s *socket) texts(texts ...string) error {
	var p []byte
	for _, text := range texts {
		p = appendFrame(p, fin|opText, []byte(text))
	}
	return s.write(p)
}

// toJSON encodes what a test made up.
func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // the tests have no other values
	}
	return string(b)
}

func subscribeText(channel, auth, channelData string) string {
	data := map[string]string{"channel": channel, "auth": auth}
	if channelData != "" {
		data["channel_data"] = channelData
	}
	return toJSON(map[string]any{"event": "pusher:subscribe", "data": data})
}

// subscribe asks for a channel and waits for nothing.
func (s *socket) subscribe(channel, auth, channelData string) error {
	return s.text(subscribeText(channel, auth, channelData))
}

// subscribeSigned is subscribe with a signature of the demo application.
func (s *socket) subscribeSigned(channel, channelData string) error {
	text := s.id + ":" + channel
	if channelData != "" {
		text += ":" + channelData
	}
	return s.subscribe(channel, demo.sign(text), channelData)
}

func (s *socket) subscribed(channel string) error {
	ev, err := s.want("pusher_internal:subscription_succeeded")
	if err == nil && ev.Channel != channel {
		err = fmt.Errorf("joined %q, wanted %q", ev.Channel, channel)
	}
	return err
}

// message is one frame of the server.
type message struct {
	op      byte
	payload []byte
}

func (m message) String() string {
	if m.op == opClose {
		code, reason := m.closing()
		return fmt.Sprintf("close %d %q", code, reason)
	}
	return fmt.Sprintf("opcode %d %.200q", m.op, m.payload)
}

func (m message) closing() (code int, reason string) {
	if len(m.payload) < 2 {
		return 1005, ""
	}
	return int(binary.BigEndian.Uint16(m.payload)), string(m.payload[2:])
}

func (m message) event() (hftest.Event, error) {
	if m.op != opText {
		return hftest.Event{}, fmt.Errorf("got %v", m)
	}
	ev := hftest.Event{Raw: string(m.payload)}
	return ev, json.Unmarshal(m.payload, &ev)
}

// next reads one frame, whole, unmasked and uncompressed.
func (s *socket) next() (message, error) {
	s.patience()
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return message{}, err
	}
	if head[0]&0xf0 != fin || head[1]&0x80 != 0 {
		return message{}, fmt.Errorf("frame header %x: fragmented, compressed or masked", head)
	}
	n := uint64(head[1])
	var ext [8]byte
	var err error
	switch n {
	case 126:
		_, err = io.ReadFull(s.r, ext[6:])
		n = binary.BigEndian.Uint64(ext[:])
	case 127:
		_, err = io.ReadFull(s.r, ext[:])
		n = binary.BigEndian.Uint64(ext[:])
	}
	if err != nil {
		return message{}, err
	}
	if n > 1<<20 {
		return message{}, fmt.Errorf("frame of %d bytes", n)
	}
	m := message{op: head[0] & 0xf, payload: make([]byte, n)}
	_, err = io.ReadFull(s.r, m.payload)
	return m, err
}

// want expects the next frame to be that event.
func (s *socket) want(event string) (hftest.Event, error) {
	m, err := s.next()
	if err != nil {
		return hftest.Event{}, fmt.Errorf("wanted %s: %w", event, err)
	}
	ev, err := m.event()
	if err == nil && ev.Event != event {
		err = fmt.Errorf("got %s", ev.Raw)
	}
	if err != nil {
		return ev, fmt.Errorf("wanted %s: %w", event, err)
	}
	return ev, nil
}

// wantError expects pusher:error with that code and a sentence with that in it.
func (s *socket) wantError(code int, text string) error {
	ev, err := s.want("pusher:error")
	if err != nil {
		return err
	}
	return errorIs(ev, code, text)
}

func errorIs(ev hftest.Event, code int, text string) error {
	var data struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(ev.Data, &data); err != nil || ev.Event != "pusher:error" || data.Code != code || !strings.Contains(data.Message, text) {
		return fmt.Errorf("wanted pusher:error %d with %q, got %s", code, text, ev.Raw)
	}
	return nil
}

// wantRefusal expects pusher:subscription_error of a channel.
func (s *socket) wantRefusal(channel, typ string, status int, text string) error {
	ev, err := s.want("pusher:subscription_error")
	if err != nil {
		return err
	}
	var data struct {
		Type, Error string
		Status      int
	}
	if err := json.Unmarshal([]byte(ev.Text()), &data); err != nil || ev.Channel != channel || data.Type != typ ||
		data.Status != status || !strings.Contains(data.Error, text) {
		return fmt.Errorf("wanted subscription_error %s %d with %q, got %s", typ, status, text, ev.Raw)
	}
	return nil
}

// wantClose passes over what came before and expects a Close frame with that code
// and a reason with that in it, then the end of the stream. A code from 4000 on
// must stand in a pusher:error right before it. It returns how many frames it
// passed over, that error not counted, and closes the socket.
func (s *socket) wantClose(code int, text string) (passed int, err error) {
	defer s.close()
	var last message
	for ; ; passed++ {
		m, err := s.next()
		if err != nil {
			return passed, fmt.Errorf("wanted close %d after %d frames, the last %v: %w", code, passed, last, err)
		}
		if m.op != opClose {
			last = m
			continue
		}
		if got, reason := m.closing(); got != code || !strings.Contains(reason, text) {
			return passed, fmt.Errorf("wanted close %d with %q after %d frames, got %v", code, text, passed, m)
		}
		break
	}
	if code >= 4000 {
		passed--
		ev, err := last.event()
		if err == nil {
			err = errorIs(ev, code, text)
		}
		if err != nil {
			return passed, fmt.Errorf("before close %d: %w", code, err)
		}
	}
	if b, err := s.r.ReadByte(); err != io.EOF {
		return passed, fmt.Errorf("after close %d: byte %x, %v, wanted the end of the stream", code, b, err)
	}
	return passed, nil
}

// alive says something and is answered.
func (s *socket) alive() error {
	if err := s.text(`{"event":"pusher:ping"}`); err != nil {
		return err
	}
	_, err := s.want("pusher:pong")
	return err
}

// wantEnd expects the end of the connection without a byte before it. Input that
// the server did not read makes the end a reset.
func (s *socket) wantEnd() error {
	defer s.close()
	s.patience()
	switch b, err := s.r.ReadByte(); {
	case err == nil:
		return fmt.Errorf("got byte %x, wanted the end of the connection", b)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil
	default:
		return fmt.Errorf("wanted the end of the connection: %w", err)
	}
}

// silent tells that nothing has come, and that the connection stands, by now.
func (s *socket) silent() error {
	_ = s.nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	b, err := s.r.ReadByte()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return fmt.Errorf("byte %x, %v, wanted silence", b, err)
	}
	return nil
}
