package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/holdfast-edge/holdfast/frame"
)

// WebSocket opcodes (RFC 6455 5.2) that a client of this protocol meets.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// errFrame: the server sent what it must not send to these clients.
var errFrame = errors.New("rig: bad frame from the server")

// handshake is the opening request, the same for every socket of a process, and the one right answer to its key.
type handshake struct {
	request []byte
	accept  []byte // value of Sec-WebSocket-Accept
}

func newHandshake(host string) handshake {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	return handshake{
		request: fmt.Appendf(nil, "GET /app/%s?protocol=7&client=rig&version=1&flash=false HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"+
			"Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", appKey, host, key),
		accept: acceptOf(key),
	}
}

// acceptOf is Sec-WebSocket-Accept of a key (RFC 6455 4.2.2).
func acceptOf(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.AppendEncode(nil, sum[:])
}

// answered looks for the complete answer to the request in p. It returns the bytes behind it.
func (h *handshake) answered(p []byte) (rest []byte, done bool, err error) {
	head, rest, found := bytes.Cut(p, []byte("\r\n\r\n"))
	if !found {
		if len(p) > 4096 {
			return nil, false, fmt.Errorf("handshake: %d bytes without an end: %.80q", len(p), p)
		}
		return nil, false, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		return nil, false, fmt.Errorf("handshake: answer %.200q", p)
	}
	if !bytes.Contains(head, h.accept) {
		return nil, false, fmt.Errorf("handshake: wrong Sec-WebSocket-Accept in %.300q", head)
	}
	return rest, true, nil
}

// appendMasked appends one final frame from a client, masked with a fresh key.
func appendMasked(dst []byte, op byte, payload []byte) []byte {
	return frame.AppendClientFrame(dst, frame.Opcode(op), mathrand.Uint32(), payload)
}

// nextFrame splits the first complete frame off p. n is its length in bytes, 0 when p does not hold all of it.
func nextFrame(p []byte) (op byte, payload []byte, n int, err error) {
	op, head, size, err := frameHead(p, 1<<20)
	if n = head + size; err != nil || head == 0 || len(p) < n {
		return 0, nil, 0, err
	}
	return op, p[head:n], n, nil
}

// frameHead reads the head of a frame from a server; head is its length in bytes, 0 when it is not complete,
// and size that of the payload, at most most. These clients offer no extension and holdfast never fragments: anything but
// a final, unmasked frame is an error.
func frameHead(p []byte, most uint64) (op byte, head, size int, err error) {
	if len(p) < 2 {
		return 0, 0, 0, nil
	}
	if p[0]&0xF0 != 0x80 || p[1]&0x80 != 0 {
		return 0, 0, 0, fmt.Errorf("%w: header % x", errFrame, p[:2])
	}
	head, size = 2, int(p[1])
	switch {
	case size == 126 && len(p) >= 4:
		head, size = 4, int(binary.BigEndian.Uint16(p[2:]))
	case size == 127 && len(p) >= 10:
		announced := binary.BigEndian.Uint64(p[2:])
		if announced > most {
			return 0, 0, 0, fmt.Errorf("%w: %d bytes announced", errFrame, announced)
		}
		head, size = 10, int(announced)
	case size >= 126:
		return 0, 0, 0, nil
	}
	return p[0] & 0x0F, head, size, nil
}

// closeText describes the payload of a close frame.
func closeText(p []byte) string {
	if len(p) < 2 {
		return "close without a code"
	}
	return fmt.Sprintf("close %d %q", binary.BigEndian.Uint16(p), p[2:])
}
