package frame

import (
	"bytes"

	"github.com/klauspost/compress/flate"
)

// deflateLevel: see BenchmarkDeflate for what the levels cost and save.
const deflateLevel = 5

// Deflater compresses outbound messages without context takeover (RFC 7692).
// Owned by one goroutine; about 1 MB from its first use on.
type Deflater struct {
	writer *flate.Writer
	out    bytes.Buffer
}

// NewDeflater makes a deflater that has allocated nothing yet.
func NewDeflater() *Deflater { return &Deflater{} }

// AppendFrame appends one whole compressed frame, with RSV1 set. A control frame
// is never compressed (RFC 7692 section 6.1) and comes out plain.
func (d *Deflater) AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	if op.control() {
		return AppendFrame(dst, op, payload)
	}
	deflated := d.compress(payload)
	dst = AppendHeader(dst, true, true, op, len(deflated))
	dst = append(dst, deflated...)
	d.trim()
	return dst
}

// AppendStart compresses the beginning of a message whose end is not known yet;
// AppendDeflatedFrame makes the frame of both.
func (d *Deflater) AppendStart(dst, start []byte) []byte {
	deflated := d.compress(start)
	deflated = deflated[:len(deflated)+inflateTail] // the marker stays: more blocks follow
	dst = append(dst, deflated...)
	d.trim()
	return dst
}

// AppendDeflatedFrame appends one whole compressed frame of a start that
// Deflater.AppendStart made and an end of at most 64 KiB, which goes along as a
// stored block (RFC 1951 section 3.2.4): deflate blocks may be joined.
func AppendDeflatedFrame(dst []byte, op Opcode, start, end []byte) []byte {
	n := uint16(len(end))
	dst = AppendHeader(dst, true, true, op, len(start)+storedHeader+len(end)+1)
	dst = append(dst, start...)
	dst = append(dst, 0, byte(n), byte(n>>8), byte(^n), byte(^n>>8))
	dst = append(dst, end...)
	return append(dst, 0) // an empty stored block without its last four bytes (RFC 7692 section 7.2.1)
}

// DeflatedFrameLen is the length of what AppendDeflatedFrame appends.
func DeflatedFrameLen(start, end int) int {
	payload := start + storedHeader + end + 1
	return HeaderLen(payload) + payload
}

// storedHeader is the length of the header of a stored block that begins at a byte's
// border.
const storedHeader = 5

// compress returns the payload of the compressed frame, valid until trim or the
// next call.
func (d *Deflater) compress(payload []byte) []byte {
	d.out.Reset()
	if d.writer == nil {
		w, err := flate.NewWriter(&d.out, deflateLevel)
		if err != nil {
			panic(err) // only for a level out of range
		}
		d.writer = w
	} else {
		d.writer.Reset(&d.out)
	}
	// Neither can fail: the buffer takes everything.
	_, _ = d.writer.Write(payload)
	_ = d.writer.Flush()
	deflated := d.out.Bytes()
	return deflated[:len(deflated)-inflateTail] // RFC 7692 section 7.2.1
}

// trim lets a large buffer go.
func (d *Deflater) trim() {
	if d.out.Cap() > maxBuffer {
		d.out = bytes.Buffer{}
	}
}
