package frame

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Opcode is the type of a frame, RFC 6455 section 5.2.
type Opcode uint8

// The opcodes that RFC 6455 defines. All others are reserved and refused.
const (
	OpContinuation = Opcode(ws.OpContinuation)
	OpText         = Opcode(ws.OpText)
	OpBinary       = Opcode(ws.OpBinary)
	OpClose        = Opcode(ws.OpClose)
	OpPing         = Opcode(ws.OpPing)
	OpPong         = Opcode(ws.OpPong)
)

// maxControl is the largest payload of a control frame, RFC 6455 section 5.5.
const maxControl = ws.MaxControlFramePayloadSize

// Bits of the first two bytes of a frame.
//
//	|F|R|R|R| opcode|M| length7     | extended length 0, 2 or 8 | mask 0 or 4 |
//	|I|S|S|S|  (4)  |A|             | big endian                | payload ... |
//	|N|V|V|V|       |S|             |                           |             |
//	| |1|2|3|       |K|             |                           |             |
const (
	bitFin    = 0x80
	bitRsv1   = 0x40
	bitsRsv   = 0x70
	bitsOp    = 0x0f
	bitMask   = 0x80
	bitsLen   = 0x7f
	len16     = 126 // length7 that announces a 16-bit length
	len64     = 127 // length7 that announces a 64-bit length
	maskBytes = 4
	// maxHeader is the longest header of a masked frame.
	maxHeader = 2 + 8 + maskBytes
)

func (op Opcode) control() bool { return op&0x8 != 0 }

// HeaderLen is the size of a server's frame header for a payload of n bytes.
func HeaderLen(n int) int {
	switch {
	case n < len16:
		return 2
	case n <= 0xffff:
		return 4
	default:
		return 10
	}
}

// AppendHeader appends the header of a server's frame, which is never masked
// (RFC 6455 section 5.1), with the shortest encoding of the length n.
func AppendHeader(dst []byte, fin, rsv1 bool, op Opcode, n int) []byte {
	b0 := byte(op)
	if fin {
		b0 |= bitFin
	}
	if rsv1 {
		b0 |= bitRsv1
	}
	switch {
	case n < len16:
		return append(dst, b0, byte(n))
	case n <= 0xffff:
		return append(dst, b0, len16, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, b0, len64), uint64(n))
	}
}

// AppendFrame appends one whole, final, uncompressed frame.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	return append(AppendHeader(dst, true, false, op, len(payload)), payload...)
}

// header is the header of a client's frame after its own checks: the length is
// encoded minimally and below 2^63, the frame is masked, the opcode is known and
// fits the message that is open or not.
type header struct {
	size   int // bytes of the header itself
	length uint64
	mask   uint32 // little endian: byte k of the mask is byte k of the number
	op     Opcode
	fin    bool
	rsv1   bool
}

// parseHeader reads the header at the start of b. done is false when b ends
// inside it and what is there is right so far. open tells that a fragmented
// message has begun.
func parseHeader(b []byte, open, deflate bool) (h header, done bool, err error) {
	if len(b) == 0 {
		return h, false, nil
	}
	b0 := b[0]
	h.op, h.fin = Opcode(b0&bitsOp), b0&bitFin != 0
	if err := checkFirst(b0, open, deflate); err != nil {
		return h, false, err
	}
	h.rsv1 = b0&bitRsv1 != 0
	if len(b) == 1 {
		return h, false, nil
	}
	b1 := b[1]
	if b1&bitMask == 0 {
		return h, false, errNotMasked // RFC 6455 section 5.1
	}
	h.length = uint64(b1 & bitsLen)
	if h.op.control() && h.length > maxControl {
		return h, false, errControlLength // RFC 6455 section 5.5
	}
	h.size = 2
	switch h.length {
	case len16:
		h.size = 4
		if len(b) < h.size {
			return h, false, nil
		}
		h.length = uint64(binary.BigEndian.Uint16(b[2:]))
		if h.length < len16 {
			return h, false, errLength
		}
	case len64:
		h.size = 10
		if len(b) < h.size {
			return h, false, nil
		}
		h.length = binary.BigEndian.Uint64(b[2:])
		if h.length <= 0xffff || h.length>>63 != 0 {
			return h, false, errLength
		}
	}
	if len(b) < h.size+maskBytes {
		return h, false, nil
	}
	h.mask = binary.LittleEndian.Uint32(b[h.size:])
	h.size += maskBytes
	return h, true, nil
}

// checkFirst judges the first byte of a frame, RFC 6455 sections 5.2 and 5.4.
func checkFirst(b0 byte, open, deflate bool) error {
	op := Opcode(b0 & bitsOp)
	switch op {
	case OpText, OpBinary:
		if open {
			return errNewMessage
		}
		if b0&bitRsv1 != 0 && !deflate {
			return errReservedBit
		}
	case OpContinuation:
		if !open {
			return errNoMessage
		}
		if b0&bitRsv1 != 0 { // RFC 7692 section 6.1: only on the first fragment
			return errReservedBit
		}
	case OpClose, OpPing, OpPong:
		if b0&bitFin == 0 {
			return errControlFragment
		}
		if b0&bitRsv1 != 0 {
			return errReservedBit
		}
	default:
		return errOpcode
	}
	if b0&(bitsRsv&^bitRsv1) != 0 {
		return errReservedBit
	}
	return nil
}
