package frame

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
)

// inflateEnd goes behind the payload of a compressed message. Its first four
// bytes are the ones that the sender cut off (RFC 7692 section 7.2.2). The other
// five are an empty final block of ours: a well-formed message ends with it
// exactly, any other runs out of input or meets something that is no block.
var inflateEnd = []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}

const (
	inflateTail = 4 // bytes of inflateEnd that belong to the message
	// maxFinals bounds the blocks with BFINAL in one message, each of which costs
	// the inflater a new start. RFC 7692 section 7.2.3.4 allows them; no known
	// client sends more than one a frame.
	maxFinals = 64
	window    = 32 << 10
)

// maxCompressed is the most bytes that a message of n bytes may take on the
// wire: the bound of zlib's worst settings. Beyond it a message is empty blocks.
func maxCompressed(n uint64) uint64 { return n + n>>3 + n>>7 + 64 }

// inflater inflates one message at a time, without context takeover. About 45 KB
// from its first use on; a Parser has one. The zero value is ready.
//
// It uses the standard library's decoder, not klauspost/compress's: that one keeps
// its Huffman tables over a Reset, and a corrupt block without a distance code is
// then decoded with the table of somebody else's message instead of refused.
type inflater struct {
	decoder io.ReadCloser // nil before the first use
	source  bytes.Reader
	in      []byte // payload and inflateEnd
	out     []byte // lent to the caller until trim
}

// inflate returns the inflated message, at most limit bytes, valid until trim.
// errInflated when it would be longer, errDeflate when it is corrupt.
func (f *inflater) inflate(p []byte, limit int) ([]byte, error) {
	f.out = f.out[:0]
	if len(p) == 0 {
		// The sender's compressor had nothing to say and was cut off entirely.
		return f.out, nil
	}
	f.in = append(append(f.in[:0], p...), inflateEnd...)
	rest := f.in
	for range maxFinals {
		if err := f.stream(rest, limit); err != nil {
			f.trim()
			return nil, err
		}
		rest = rest[len(rest)-f.source.Len():]
		switch len(rest) {
		case 0, len(inflateEnd) - inflateTail, len(inflateEnd):
			// At our own final block; at a final block that the tail completed; or at
			// one that ended with the payload, whose sender forgot the empty block
			// that RFC 7692 section 7.2.3.4 wants behind it.
			return f.out, nil
		}
		if len(rest) < len(inflateEnd) {
			break // a final block ended inside what the sender did not send
		}
	}
	f.trim()
	return nil, errDeflate
}

// stream appends to out what p holds up to the end of a final block. History
// goes on from what out already has.
func (f *inflater) stream(p []byte, limit int) error {
	f.source.Reset(p)
	if f.decoder == nil {
		f.decoder = flate.NewReader(&f.source)
	}
	history := f.out[max(0, len(f.out)-window):]
	if err := f.decoder.(flate.Resetter).Reset(&f.source, history); err != nil {
		return errDeflate
	}
	for {
		n, err := f.decoder.Read(f.room(limit))
		f.out = f.out[:len(f.out)+n]
		if len(f.out) > limit {
			return errInflated
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errDeflate
		}
	}
}

// room is the space behind out for the next read, grown by doubling, never more
// than one byte beyond limit.
func (f *inflater) room(limit int) []byte {
	if len(f.out) == cap(f.out) {
		grown := make([]byte, len(f.out), min(max(2*cap(f.out), 4<<10), max(limit, 0)+1))
		copy(grown, f.out)
		f.out = grown
	}
	return f.out[len(f.out):min(cap(f.out), limit+1)]
}

// trim ends the loan of the last message and lets large buffers go.
func (f *inflater) trim() {
	if cap(f.in) > maxBuffer {
		f.in = nil
	}
	if cap(f.out) > maxBuffer {
		f.out = nil
	}
}
