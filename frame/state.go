package frame

import "unsafe"

// phase says what the next byte of a connection with a State belongs to.
type phase uint8

const (
	// phaseBetween: a frame border inside a fragmented message.
	phaseBetween phase = iota
	// phaseHeader: inside a frame header; its bytes so far are in head.
	phaseHeader
	// phaseData: inside the payload of a data frame.
	phaseData
	// phaseControl: inside the payload of a control frame; its bytes so far are in
	// control, still masked.
	phaseControl
)

// State is what must be remembered of a connection's input between two reads. It
// exists only inside a frame or a fragmented message. Owned by the connection;
// made, changed and taken back by one Parser.
type State struct {
	phase phase

	// A header in parts.
	headLen uint8
	head    [maxHeader]byte

	// The frame whose payload is incomplete.
	op   Opcode
	fin  bool
	mask uint32 // as the next payload byte meets it
	left uint64 // payload bytes still to come

	// The message that is open: a first frame has begun, the final one has not
	// ended.
	open       bool
	compressed bool
	message    Opcode    // OpText or OpBinary
	text       utf8Check // of uncompressed text
	frames     int32     // begun so far
	size       uint64    // payload bytes announced by those frames
	data       []byte    // payload bytes received, unmasked; pooled

	control []byte // payload bytes of a control frame between fragments; pooled
}

// MessageOpen tells whether a data message has begun and is not complete: the
// deadline for whole messages runs. A header in parts counts once it is known
// not to be a control frame's.
func (st *State) MessageOpen() bool {
	return st.open || st.phase == phaseHeader && !Opcode(st.head[0]&bitsOp).control()
}

// Message is the size of the open message as far as its frames have announced it, and
// how much of it is there. Unit: bytes on the wire, compressed if it is.
func (st *State) Message() (announced uint64, received int) { return st.size, len(st.data) }

// Bytes is the memory that the state holds.
func (st *State) Bytes() int {
	return int(unsafe.Sizeof(*st)) + cap(st.data) + cap(st.control)
}

// maxStates bounds the idle states that a Parser keeps.
const maxStates = 1024

func (ps *Parser) newState() *State {
	n := len(ps.states)
	if n == 0 {
		return &State{}
	}
	st := ps.states[n-1]
	ps.states[n-1] = nil
	ps.states = ps.states[:n-1]
	ps.unused = min(ps.unused, n-1)
	return st
}

// Trim gives up what the pools have not lent since the last call. It belongs into a
// tick of the owner, about a second long; it costs as much as there is to give up.
func (ps *Parser) Trim() {
	ps.buffers.trim()
	keep := len(ps.states) - ps.unused
	if keep == 0 {
		ps.states = nil
	} else {
		clear(ps.states[keep:])
		ps.states = ps.states[:keep]
	}
	ps.unused = keep
}

// Release takes back the memory of a connection that ends inside a frame or a
// message. st must not be used again; nil is allowed. The owner of the Parser
// may call it, also from inside a Sink for a state of another connection.
func (ps *Parser) Release(st *State) {
	if st == nil {
		return
	}
	ps.buffers.put(st.data)
	ps.buffers.put(st.control)
	*st = State{}
	if len(ps.states) < maxStates {
		ps.states = append(ps.states, st)
	}
}
