package netio

import "github.com/holdfast-edge/holdfast/frame"

// The echo path answers every message with itself, through the same loop, frame
// and queue code as production traffic, but without the limits that conformance
// tools are meant to exceed. It is off unless it is asked for.
const (
	echoMessageBytes = 16 << 20
	echoQueueBytes   = 32 << 20
)

var echoLimits = frame.Limits{MessageBytes: echoMessageBytes, Fragments: 1 << 30}

func (l *loop) echo(slot uint32, r *record, op frame.Opcode, p []byte) {
	var out []byte
	if r.flags&flagDeflate != 0 {
		if l.deflater == nil {
			l.deflater = frame.NewDeflater()
		}
		out = l.deflater.AppendFrame(nil, op, p)
	} else {
		out = make([]byte, 0, frame.HeaderLen(len(p))+len(p))
		out = frame.AppendFrame(out, op, p)
	}
	l.emit(slot, r, out, 1)
}
