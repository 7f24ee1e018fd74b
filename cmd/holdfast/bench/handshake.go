package bench

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

const (
	keyBytes     = 24 // of Sec-WebSocket-Key
	acceptBytes  = 28 // of Sec-WebSocket-Accept
	maxHeadBytes = 16 << 10
	acceptGUID   = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 1.3
)

// handshake makes opening requests, each with a key of its own that is not
// stored: it follows from the connection, its attempt and the seed of the loop.
type handshake struct {
	before, after []byte // of the key
	seed          uint64
	scratch       [64]byte
}

func newHandshake(t *target, key, origin string, seed uint64) handshake {
	h := handshake{seed: seed}
	h.before = fmt.Appendf(nil, "GET %s/app/%s?protocol=7&client=holdfast-bench&version=1&flash=false HTTP/1.1\r\nHost: %s\r\n", t.prefix, key, t.host)
	if origin != "" {
		h.before = fmt.Appendf(h.before, "Origin: %s\r\n", origin)
	}
	h.before = append(h.before, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "...)
	h.after = []byte("\r\nSec-WebSocket-Version: 13\r\n\r\n")
	return h
}

// appendRequest appends the request of an attempt, a number that the caller does
// not use twice.
func (h *handshake) appendRequest(dst []byte, attempt uint64) []byte {
	key := h.key(attempt)
	dst = append(dst, h.before...)
	dst = append(dst, key[:]...)
	return append(dst, h.after...)
}

func (h *handshake) key(attempt uint64) (key [keyBytes]byte) {
	var nonce [16]byte
	binary.LittleEndian.PutUint64(nonce[:8], splitmix(h.seed^attempt))
	binary.LittleEndian.PutUint64(nonce[8:], splitmix(h.seed+attempt+1))
	base64.StdEncoding.Encode(key[:], nonce[:])
	return key
}

// splitmix is a bijection whose values look random (Steele, Lea, Flood 2014).
func splitmix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// accept is the one right answer to the key of an attempt.
func (h *handshake) accept(attempt uint64) (want [acceptBytes]byte) {
	key := h.key(attempt)
	n := copy(h.scratch[:], key[:])
	n += copy(h.scratch[n:], acceptGUID)
	sum := sha1.Sum(h.scratch[:n])
	base64.StdEncoding.Encode(want[:], sum[:])
	return want
}

// httpRefusal is an answer other than 101.
type httpRefusal struct{ status int }

func (r httpRefusal) Error() string { return fmt.Sprintf("handshake: HTTP %d", r.status) }

// answered looks for the complete answer to an attempt at the start of p. n is its
// length, 0 while it is not complete.
func (h *handshake) answered(p []byte, attempt uint64) (n int, err error) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		if len(p) > maxHeadBytes {
			return 0, errHead
		}
		return 0, nil
	}
	head := p[:end]
	line, head := cutLine(head)
	status, ok := statusOf(line)
	switch {
	case !ok:
		return 0, errHead
	case status != 101:
		return 0, httpRefusal{status}
	}
	want := h.accept(attempt)
	accepted, upgraded := false, false
	for len(head) > 0 {
		line, head = cutLine(head)
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case equalFold(name, "sec-websocket-accept"):
			if accepted = bytes.Equal(value, want[:]); !accepted {
				return 0, errAccept
			}
		case equalFold(name, "upgrade"):
			upgraded = equalFold(value, "websocket")
		case equalFold(name, "sec-websocket-extensions"), equalFold(name, "sec-websocket-protocol"):
			return 0, errExtension
		}
	}
	switch {
	case !accepted:
		return 0, errAccept
	case !upgraded:
		return 0, errUpgrade
	}
	return end + 4, nil
}

func cutLine(p []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(p, []byte("\r\n"))
	return line, rest
}

// statusOf reads an HTTP/1 status line.
func statusOf(line []byte) (status int, ok bool) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, false
	}
	v, ok := digits(line[9:12])
	return int(v), ok && v >= 100
}

// equalFold compares with a lower-case ASCII word.
func equalFold(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, b := range p {
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != lower[i] {
			return false
		}
	}
	return true
}
