package frame

import "encoding/binary"

// AppendClientHeader appends the header of a client's whole, final frame of n bytes,
// which is always masked (RFC 6455 section 5.1). The low byte of mask meets the first
// byte of the payload. For load clients and rigs.
func AppendClientHeader(dst []byte, op Opcode, mask uint32, n int) []byte {
	at := len(dst)
	dst = AppendHeader(dst, true, false, op, n)
	dst[at+1] |= bitMask
	return binary.LittleEndian.AppendUint32(dst, mask)
}

// AppendClientFrame appends a client's whole, final frame, masked. RFC 6455 section 5.3
// asks for a mask that is not foreseen, a fresh one for each frame.
func AppendClientFrame(dst []byte, op Opcode, mask uint32, payload []byte) []byte {
	dst = AppendClientHeader(dst, op, mask, len(payload))
	at := len(dst)
	dst = append(dst, payload...)
	unmask(dst[at:], mask) // the mask removes itself
	return dst
}
