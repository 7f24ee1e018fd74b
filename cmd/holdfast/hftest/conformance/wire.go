package conformance

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
)

// Opcodes of RFC 6455 section 5.2.
const (
	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// frameSpec is one client frame with everything that can be wrong about it.
type frameSpec struct {
	op       byte
	more     bool // FIN is not set
	rsv      byte // the three reserved bits, as a number
	payload  []byte
	unmasked bool
	lenBytes int    // 0 = the minimal encoding; 2 or 8 force one
	declare  uint64 // with lenBytes 8: the declared length, when not that of the payload
}

var maskKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// encode builds the frame, masked by a fixed key (section 5.3).
func (f frameSpec) encode() []byte {
	first := f.op | f.rsv<<4
	if !f.more {
		first |= 0x80
	}
	maskBit := byte(0x80)
	if f.unmasked {
		maskBit = 0
	}
	n := uint64(len(f.payload))
	if f.declare != 0 {
		n = f.declare
	}
	b := []byte{first}
	switch {
	case f.lenBytes == 8 || f.lenBytes == 0 && n > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), n)
	case f.lenBytes == 2 || f.lenBytes == 0 && n > 125:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = append(b, maskBit|byte(n))
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	b = append(b, maskKey[:]...)
	at := len(b)
	b = append(b, f.payload...)
	for i := range b[at:] {
		b[at+i] ^= maskKey[i&3]
	}
	return b
}

func text(s string) frameSpec           { return frameSpec{op: opText, payload: []byte(s)} }
func bin(p []byte) frameSpec            { return frameSpec{op: opBinary, payload: p} }
func ping(s string) frameSpec           { return frameSpec{op: opPing, payload: []byte(s)} }
func pong(s string) frameSpec           { return frameSpec{op: opPong, payload: []byte(s)} }
func frag(op byte, s string) frameSpec  { return frameSpec{op: op, more: true, payload: []byte(s)} }
func final(s string) frameSpec          { return frameSpec{op: opCont, payload: []byte(s)} }
func rsv(f frameSpec, r byte) frameSpec { f.rsv = r; return f }

// closing is a Close frame with a code and a reason.
func closing(code uint16, reason string) frameSpec {
	return frameSpec{op: opClose, payload: append(binary.BigEndian.AppendUint16(nil, code), reason...)}
}

func emptyClose() frameSpec { return frameSpec{op: opClose} }

// message is a server frame, reassembled and inflated.
type message struct {
	op byte
	p  []byte
}

func (m message) String() string {
	if m.op == opClose && len(m.p) >= 2 {
		return fmt.Sprintf("close %d %q", binary.BigEndian.Uint16(m.p), m.p[2:])
	}
	return fmt.Sprintf("opcode %d, %d bytes %.40q", m.op, len(m.p), m.p)
}

// readMessage reads one server message. Servers must not mask (section 5.1) and
// must use minimal lengths (section 5.2); a compressed one has RSV1 set.
func readMessage(r *bufio.Reader, deflate bool) (message, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	fin, op, rsv1 := head[0]&0x80 != 0, head[0]&0x0f, head[0]&0x40 != 0
	switch {
	case head[1]&0x80 != 0:
		return message{}, fmt.Errorf("the server masked a frame")
	case head[0]&0x30 != 0 || rsv1 && !deflate:
		return message{}, fmt.Errorf("the server set reserved bits: %#x", head[0])
	case !fin:
		return message{}, fmt.Errorf("the server sent a fragment")
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var ext [2]byte
		if _, err := io.ReadFull(r, ext[:]); err != nil {
			return message{}, err
		}
		if n = uint64(binary.BigEndian.Uint16(ext[:])); n < 126 {
			return message{}, fmt.Errorf("length %d in the 16-bit form", n)
		}
	case 127:
		var ext [8]byte
		if _, err := io.ReadFull(r, ext[:]); err != nil {
			return message{}, err
		}
		if n = binary.BigEndian.Uint64(ext[:]); n <= 0xffff || n > 64<<20 {
			return message{}, fmt.Errorf("length %d in the 64-bit form", n)
		}
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return message{}, err
	}
	if rsv1 {
		inflated, err := inflate(p)
		if err != nil {
			return message{}, fmt.Errorf("the server's compressed message: %w", err)
		}
		p = inflated
	}
	return message{op, p}, nil
}

// inflate undoes RFC 7692 section 7.2.1 for one message without context.
func inflate(p []byte) ([]byte, error) {
	tail := []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}
	return io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(p), bytes.NewReader(tail))))
}

// deflated compresses one message as RFC 7692 section 7.2.1 says.
func deflated(p []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err) // the level is a constant of the table
	}
	_, _ = w.Write(p)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0x00, 0x00, 0xff, 0xff})
}
