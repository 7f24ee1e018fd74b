package bench

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/holdfast-edge/holdfast/frame"
)

// WebSocket opcodes (RFC 6455 5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// maxMessageBytes bounds a frame, and a message of several frames.
const maxMessageBytes = 1 << 20

// wsFrame is one frame of the server. payload is borrowed from the input.
type wsFrame struct {
	op      byte
	fin     bool
	payload []byte
}

// nextFrame splits the first complete frame off p. n is its length, 0 when p does
// not hold all of it. Errors are those of errors.go and final.
func nextFrame(p []byte) (f wsFrame, n int, err error) {
	if len(p) < 2 {
		return f, 0, nil
	}
	f.op, f.fin = p[0]&0x0F, p[0]&0x80 != 0
	if err := checkHeader(p[0], p[1]); err != nil {
		return f, 0, err
	}
	head, size := 2, uint64(p[1]&0x7F)
	switch size {
	case 126:
		if len(p) < 4 {
			return f, 0, nil
		}
		if head, size = 4, uint64(binary.BigEndian.Uint16(p[2:])); size < 126 {
			return f, 0, errLength
		}
	case 127:
		if len(p) < 10 {
			return f, 0, nil
		}
		if head, size = 10, binary.BigEndian.Uint64(p[2:]); size < 1<<16 {
			return f, 0, errLength
		}
	}
	if size > maxMessageBytes {
		return f, 0, errTooBig
	}
	if n = head + int(size); len(p) < n {
		return f, 0, nil
	}
	f.payload = p[head:n:n]
	return f, n, nil
}

func checkHeader(b0, b1 byte) error {
	switch op := b0 & 0x0F; {
	case b0&0x70 != 0:
		return errReserved
	case b1&0x80 != 0:
		return errMasked
	case op > opBinary && op < opClose, op > opPong:
		return errOpcode
	case op >= opClose && (b0&0x80 == 0 || b1 > 125):
		return errControl
	}
	return nil
}

// appendMasked appends one final frame of a client, masked with a fresh key.
func appendMasked(dst []byte, op byte, payload []byte) []byte {
	return frame.AppendClientFrame(dst, frame.Opcode(op), rand.Uint32(), payload)
}
