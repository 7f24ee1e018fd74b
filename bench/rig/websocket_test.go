package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// The key and the answer are the example of RFC 6455 1.3.
func TestAcceptOfTheStandardsExample(t *testing.T) {
	if got := string(acceptOf("dGhlIHNhbXBsZSBub25jZQ==")); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("Sec-WebSocket-Accept = %q", got)
	}
}

func TestHandshakeAnswer(t *testing.T) {
	h := handshake{accept: []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")}
	good := "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	for _, tt := range []struct {
		name, in, rest string
		done, fails    bool
	}{
		{name: "complete", in: good, done: true},
		{name: "with a frame behind", in: good + "\x81\x00", rest: "\x81\x00", done: true},
		{name: "cut in the head", in: good[:len(good)-1]},
		{name: "refused", in: "HTTP/1.1 400 Bad Request\r\n\r\n", fails: true},
		{name: "wrong accept", in: strings.Replace(good, "s3p", "s3q", 1), fails: true},
		{name: "no end in sight", in: strings.Repeat("x", 5000), fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rest, done, err := h.answered([]byte(tt.in))
			if done != tt.done || (err != nil) != tt.fails || string(rest) != tt.rest {
				t.Fatalf("answered = %q, %v, %v", rest, done, err)
			}
		})
	}
}

func TestNextFrame(t *testing.T) {
	long := append([]byte{0x81, 126, 0x01, 0x00}, bytes.Repeat([]byte("x"), 256)...)
	for _, tt := range []struct {
		name    string
		in      []byte
		op      byte
		payload string
		n       int
		fails   bool
	}{
		{name: "nothing", in: nil},
		{name: "half a header", in: []byte{0x81}},
		{name: "empty text", in: []byte{0x81, 0}, op: opText, n: 2},
		{name: "short text and more", in: []byte("\x81\x02abZ"), op: opText, payload: "ab", n: 4},
		{name: "short text cut", in: []byte("\x81\x03ab")},
		{name: "16-bit length", in: long, op: opText, payload: strings.Repeat("x", 256), n: 260},
		{name: "16-bit length cut", in: long[:3]},
		{name: "64-bit length cut", in: []byte{0x81, 127, 0, 0, 0}},
		{name: "close", in: []byte("\x88\x02\x10\x68"), op: opClose, payload: "\x10\x68", n: 4},
		{name: "masked", in: []byte("\x81\x82abcdef"), fails: true},
		{name: "fragment", in: []byte("\x01\x01a"), fails: true},
		{name: "reserved bit", in: []byte("\xC1\x01a"), fails: true},
		{name: "absurd length", in: []byte{0x81, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0}, fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op, payload, n, err := nextFrame(tt.in)
			if op != tt.op || string(payload) != tt.payload || n != tt.n || errors.Is(err, errFrame) != tt.fails {
				t.Fatalf("nextFrame = %#x, %q, %d, %v", op, payload, n, err)
			}
		})
	}
}

func TestAppendMasked(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 300} {
		payload := bytes.Repeat([]byte("ab"), n)[:n]
		f := appendMasked(nil, opText, payload)
		head := 2
		if n >= 126 {
			head = 4
		}
		if len(f) != head+4+n || f[0] != 0x81 || f[1]&0x80 == 0 {
			t.Fatalf("%d bytes: frame of %d, header % x", n, len(f), f[:2])
		}
		mask, body := f[head:head+4], f[head+4:]
		for i := range body {
			if body[i]^mask[i&3] != payload[i] {
				t.Fatalf("%d bytes: byte %d does not unmask", n, i)
			}
		}
	}
}

func FuzzNextFrame(f *testing.F) {
	f.Add([]byte("\x81\x02ab"))
	f.Add([]byte("\x81\x7e\x00\x03abc"))
	f.Add([]byte("\x88\x02\x10\x68"))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, payload, n, err := nextFrame(p)
		if n < 0 || n > len(p) || len(payload) > n {
			t.Fatalf("n = %d of %d, payload %d", n, len(p), len(payload))
		}
		if err != nil && n != 0 {
			t.Fatalf("error %v together with %d bytes", err, n)
		}
	})
}
