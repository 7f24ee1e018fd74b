package frame

// Prepared is one outbound message, encoded once for all its receivers: whole
// frames, immutable once they are handed over.
type Prepared struct {
	Plain    []byte
	Deflated []byte // nil: use Plain
	payload  int    // offset of the payload in Plain
	op       Opcode
}

// Prepare encodes payload as one frame.
func Prepare(op Opcode, payload []byte) *Prepared {
	n := HeaderLen(len(payload))
	plain := AppendHeader(make([]byte, 0, n+len(payload)), true, false, op, len(payload))
	return &Prepared{Plain: append(plain, payload...), payload: n, op: op}
}

// Deflate adds the compressed form when the payload is longer than min bytes and
// becomes shorter. Before hand-over, by the maker, at most once.
func (p *Prepared) Deflate(d *Deflater, min int) {
	payload := p.Plain[p.payload:]
	if len(payload) <= min {
		return
	}
	if out := d.AppendFrame(nil, p.op, payload); len(out) < len(p.Plain) {
		p.Deflated = out
	}
}

// Batch is messages that leave together: contiguous frames, immutable, so that a
// connection's queue may keep them.
type Batch struct {
	Plain    []byte
	Deflated []byte // nil: use Plain
	Messages int
}

// NewBatch joins messages in order. deflated asks for the compressed form too; a
// message that has none is in it as it is. A batch of one shares its bytes.
func NewBatch(ps []*Prepared, deflated bool) *Batch {
	if len(ps) == 1 {
		b := &Batch{Plain: ps[0].Plain, Messages: 1}
		if deflated {
			b.Deflated = ps[0].Deflated
		}
		return b
	}
	plain, packed, differ := 0, 0, false
	for _, p := range ps {
		plain += len(p.Plain)
		packed += len(p.wire(true))
		differ = differ || p.Deflated != nil
	}
	b := &Batch{Plain: make([]byte, 0, plain), Messages: len(ps)}
	for _, p := range ps {
		b.Plain = append(b.Plain, p.Plain...)
	}
	if deflated && differ {
		b.Deflated = make([]byte, 0, packed)
		for _, p := range ps {
			b.Deflated = append(b.Deflated, p.wire(true)...)
		}
	}
	return b
}

func (p *Prepared) wire(deflated bool) []byte {
	if deflated && p.Deflated != nil {
		return p.Deflated
	}
	return p.Plain
}
