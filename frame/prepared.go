package frame

import "encoding/binary"

// Prepared is one outbound event, encoded once for every connection that gets
// it. Immutable once handed over.
type Prepared struct {
	// Plain is the whole uncompressed frame.
	Plain []byte
	// Deflated is the whole compressed frame; nil = send Plain to everybody.
	Deflated []byte
}

// Prepare encodes the plain frame; payload is copied.
func Prepare(op Opcode, payload []byte) *Prepared {
	plain := make([]byte, 0, HeaderLen(len(payload))+len(payload))
	return &Prepared{Plain: AppendFrame(plain, op, payload)}
}

// Deflate adds the compressed frame when the payload is over min bytes and
// compressing makes the frame smaller. Called at most once, by the goroutine
// that prepared the event, before it is handed over.
func (p *Prepared) Deflate(d *Deflater, min int) {
	op, payload := p.split()
	if op.control() || len(payload) <= min {
		return
	}
	deflated := d.compress(payload)
	size := HeaderLen(len(deflated)) + len(deflated)
	if size < len(p.Plain) {
		p.Deflated = AppendHeader(make([]byte, 0, size), true, true, op, len(deflated))
		p.Deflated = append(p.Deflated, deflated...)
	}
	d.trim()
}

// split finds opcode and payload in the plain frame.
func (p *Prepared) split() (Opcode, []byte) {
	payload, _ := ServerPayload(p.Plain)
	return Opcode(p.Plain[0] & bitsOp), payload
}

// ServerPayload is the payload of the whole unmasked frame that p begins with, and
// what follows it. p must be a server's own frames.
func ServerPayload(p []byte) (payload, rest []byte) {
	from, n := 2, uint64(p[1])
	switch p[1] {
	case len16:
		from, n = 4, uint64(binary.BigEndian.Uint16(p[2:]))
	case len64:
		from, n = 10, binary.BigEndian.Uint64(p[2:])
	}
	end := uint64(from) + n
	return p[from:end:end], p[end:]
}

// small is the frame for a connection with permessage-deflate.
func (p *Prepared) small() []byte {
	if p.Deflated != nil {
		return p.Deflated
	}
	return p.Plain
}

// Batch is several outbound events as one run of bytes per encoding. Immutable;
// queues may keep its slices.
type Batch struct {
	Plain []byte
	// Deflated is the run for connections with permessage-deflate, in which events
	// that do not pay compressed stay plain; nil = no event differs, send Plain.
	Deflated []byte
	// Messages is the number of frames in each run.
	Messages int
}

// NewBatch joins prepared events in their order. deflated says whether a reader
// of the compressed run exists; without one it is not built. A batch of one
// shares the event's bytes.
func NewBatch(ps []*Prepared, deflated bool) *Batch {
	b := &Batch{Messages: len(ps)}
	if len(ps) == 1 {
		b.Plain = ps[0].Plain
		if deflated {
			b.Deflated = ps[0].Deflated
		}
		return b
	}
	plain, small, differs := 0, 0, false
	for _, p := range ps {
		plain += len(p.Plain)
		small += len(p.small())
		differs = differs || p.Deflated != nil
	}
	b.Plain = make([]byte, 0, plain)
	for _, p := range ps {
		b.Plain = append(b.Plain, p.Plain...)
	}
	if deflated && differs {
		b.Deflated = make([]byte, 0, small)
		for _, p := range ps {
			b.Deflated = append(b.Deflated, p.small()...)
		}
	}
	return b
}
