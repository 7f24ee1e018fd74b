package conformance

import (
	"bytes"
	"fmt"
	"strings"
)

// conversation is one case.
type conversation struct {
	section string
	name    string
	offer   string      // Sec-WebSocket-Extensions; "" = none
	send    []frameSpec // what the client sends
	want    []message   // data and pong messages that must come back, in order
	close   int         // the code that must end it; 0 = the client closes with 1000 and is answered
	silent  bool        // close is to be answered with an empty Close frame
	early   bool        // the close must come though the client's message is not complete
}

const deflateOffer = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"

// Table returns every case.
func Table() []conversation {
	var t []conversation
	for _, section := range []func() []conversation{
		framing, pings, reserved, opcodes, fragmentation, utf8Cases, closes, lengths, limits, compression,
	} {
		t = append(t, section()...)
	}
	return t
}

func echoOf(f frameSpec) message { return message{f.op, f.payload} }

func fill(n int) []byte {
	return bytes.Repeat([]byte("holdfast "), n/9+1)[:n]
}

func framing() (t []conversation) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 124, 125, 126, 127, 128, 129, 254, 255, 256, 1000, 4095, 4096, 4097, 65534, 65535, 65536, 65537} {
		for _, f := range []frameSpec{{op: opText, payload: fill(n)}, {op: opBinary, payload: fill(n)}} {
			t = append(t, conversation{section: "framing", name: fmt.Sprintf("opcode %d, %d bytes", f.op, n),
				send: []frameSpec{f}, want: []message{echoOf(f)}})
		}
	}
	var many []frameSpec
	var echoes []message
	for i := range 100 {
		f := text(strings.Repeat("m", i))
		many, echoes = append(many, f), append(echoes, echoOf(f))
	}
	return append(t, conversation{section: "framing", name: "100 messages back to back", send: many, want: echoes})
}

func pings() (t []conversation) {
	add := func(name string, send []frameSpec, want []message, code int) {
		t = append(t, conversation{section: "pings", name: name, send: send, want: want, close: code})
	}
	for _, p := range []string{"", "p", "holdfast", "\x00\xff\xfe\xfd", strings.Repeat("\xfe", 125)} {
		add(fmt.Sprintf("payload of %d bytes", len(p)), []frameSpec{ping(p)}, []message{{opPong, []byte(p)}}, 0)
	}
	add("payload of 126 bytes", []frameSpec{ping(strings.Repeat("p", 126))}, nil, 1002)
	add("payload of 70000 bytes", []frameSpec{ping(strings.Repeat("p", 70000))}, nil, 1002)
	add("unsolicited pong", []frameSpec{pong("")}, nil, 0)
	add("unsolicited pong with payload", []frameSpec{pong("nobody asked")}, nil, 0)
	add("pong, then ping", []frameSpec{pong("x"), ping("y")}, []message{{opPong, []byte("y")}}, 0)
	var ten []frameSpec
	var answers []message
	for i := range 10 {
		p := fmt.Sprintf("ping %d", i)
		ten, answers = append(ten, ping(p)), append(answers, message{opPong, []byte(p)})
	}
	add("ten in a row", ten, answers, 0)
	add("between two messages", []frameSpec{text("a"), ping("p"), text("b")}, []message{{opText, []byte("a")}, {opPong, []byte("p")}, {opText, []byte("b")}}, 0)
	return t
}

func reserved() (t []conversation) {
	for r := byte(1); r < 8; r++ {
		for _, f := range []frameSpec{text("x"), bin([]byte("x")), ping("x"), pong("x"), closing(1000, ""), frag(opText, "x")} {
			t = append(t, conversation{section: "reserved bits", name: fmt.Sprintf("rsv %d on opcode %d, more to come %v", r, f.op, f.more),
				send: []frameSpec{rsv(f, r)}, close: 1002})
			t = append(t, conversation{section: "reserved bits", name: fmt.Sprintf("rsv %d on opcode %d, more to come %v, behind a good message", r, f.op, f.more),
				send: []frameSpec{text("good"), rsv(f, r), ping("never answered")}, want: []message{{opText, []byte("good")}}, close: 1002})
		}
	}
	return t
}

func opcodes() (t []conversation) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		for _, p := range []string{"", "payload"} {
			bad := frameSpec{op: op, payload: []byte(p)}
			t = append(t,
				conversation{section: "opcodes", name: fmt.Sprintf("reserved %d, %d bytes", op, len(p)), send: []frameSpec{bad}, close: 1002},
				conversation{section: "opcodes", name: fmt.Sprintf("reserved %d, %d bytes, behind a message", op, len(p)),
					send: []frameSpec{text("good"), bad, ping("")}, want: []message{{opText, []byte("good")}}, close: 1002})
		}
	}
	return t
}

func fragmentation() (t []conversation) {
	add := func(name string, code int, want []message, send ...frameSpec) {
		t = append(t, conversation{section: "fragmentation", name: name, send: send, want: want, close: code})
	}
	ab := []message{{opText, []byte("ab")}}
	add("ping in two fragments", 1002, nil, frag(opPing, "a"), final("b"))
	add("pong in two fragments", 1002, nil, frag(opPong, "a"), final("b"))
	add("close in two fragments", 1002, nil, frag(opClose, "\x03\xe8"), final(""))
	add("text in two", 0, ab, frag(opText, "a"), final("b"))
	add("binary in two", 0, []message{{opBinary, []byte("ab")}}, frag(opBinary, "a"), final("b"))
	add("all empty", 0, []message{{opText, nil}}, frag(opText, ""), frag(opCont, ""), final(""))
	add("empty ends", 0, []message{{opText, []byte("x")}}, frag(opText, ""), frag(opCont, "x"), final(""))
	add("ping between", 0, []message{{opPong, []byte("p")}, ab[0]}, frag(opText, "a"), ping("p"), final("b"))
	add("pong between", 0, ab, frag(opText, "a"), pong("p"), final("b"))
	add("pings between many", 0, []message{{opPong, []byte("1")}, {opPong, []byte("2")}, {opText, []byte("abcd")}},
		frag(opText, "a"), ping("1"), frag(opCont, "b"), ping("2"), frag(opCont, "c"), final("d"))
	add("continuation without a start", 1002, nil, final("x"))
	add("continuation without a start, more to come", 1002, nil, frag(opCont, "x"), final("y"))
	add("continuation behind a whole message", 1002, []message{{opText, []byte("whole")}}, text("whole"), final("x"))
	add("continuation behind a fragmented message", 1002, ab, frag(opText, "a"), final("b"), final("c"))
	add("text inside a fragmented text", 1002, nil, frag(opText, "a"), text("b"))
	add("binary inside a fragmented text", 1002, nil, frag(opText, "a"), bin([]byte("b")))
	add("fragmented text inside a fragmented text", 1002, nil, frag(opText, "a"), frag(opText, "b"), final("c"))
	add("two fragmented messages", 0, []message{ab[0], {opText, []byte("cd")}}, frag(opText, "a"), final("b"), frag(opText, "c"), final("d"))
	add("close inside a message", 0, nil, frag(opText, "a"))
	for _, pieces := range []int{2, 3, 7, 64, 500} {
		whole := fill(1000)
		send := []frameSpec{frag(opText, string(whole[:1000/pieces]))}
		for i := 1; i < pieces-1; i++ {
			send = append(send, frag(opCont, string(whole[1000*i/pieces:1000*(i+1)/pieces])))
		}
		at := 0
		for _, f := range send {
			at += len(f.payload)
		}
		send = append(send, final(string(whole[at:])))
		// Integer division may leave gaps; rebuild what was really sent.
		var sent []byte
		for _, f := range send {
			sent = append(sent, f.payload...)
		}
		add(fmt.Sprintf("%d pieces", len(send)), 0, []message{{opText, sent}}, send...)
	}
	return t
}

func lengths() (t []conversation) {
	add := func(name string, f frameSpec) {
		t = append(t, conversation{section: "length encodings", name: name, send: []frameSpec{f}, close: 1002, early: true})
	}
	for _, n := range []int{0, 1, 125} {
		add(fmt.Sprintf("%d in 16 bits", n), frameSpec{op: opBinary, payload: fill(n), lenBytes: 2})
		add(fmt.Sprintf("%d in 64 bits", n), frameSpec{op: opBinary, payload: fill(n), lenBytes: 8})
	}
	add("126 in 64 bits", frameSpec{op: opBinary, payload: fill(126), lenBytes: 8})
	add("65535 in 64 bits", frameSpec{op: opBinary, payload: fill(65535), lenBytes: 8})
	add("most significant bit", frameSpec{op: opBinary, payload: fill(1), lenBytes: 8, declare: 1 << 63})
	add("all bits", frameSpec{op: opBinary, payload: fill(1), lenBytes: 8, declare: 1<<64 - 1})
	for _, f := range []frameSpec{text("x"), bin(nil), ping(""), closing(1000, ""), frag(opText, "x")} {
		f.unmasked = true
		add(fmt.Sprintf("unmasked opcode %d, more to come %v", f.op, f.more), f)
	}
	for _, n := range []uint64{1<<63 - 1, 1 << 32, 1<<32 + 5, 1 << 31, 16<<20 + 1} {
		t = append(t, conversation{section: "length encodings", name: fmt.Sprintf("declared %d", n),
			send: []frameSpec{{op: opBinary, payload: fill(1), lenBytes: 8, declare: n}}, close: 1009, early: true})
	}
	return t
}

func limits() (t []conversation) {
	for _, n := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 10_000_000, 16 << 20} {
		for _, op := range []byte{opText, opBinary} {
			f := frameSpec{op: op, payload: fill(n)}
			t = append(t, conversation{section: "limits", name: fmt.Sprintf("opcode %d, %d bytes", op, n), send: []frameSpec{f}, want: []message{echoOf(f)}})
		}
	}
	for _, piece := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		whole := fill(2 << 20)
		var send []frameSpec
		for at := 0; at < len(whole); at += piece {
			op := byte(opCont)
			if at == 0 {
				op = opBinary
			}
			end := min(at+piece, len(whole))
			send = append(send, frameSpec{op: op, more: end < len(whole), payload: whole[at:end]})
		}
		t = append(t, conversation{section: "limits", name: fmt.Sprintf("2 MiB in pieces of %d", piece), send: send, want: []message{{opBinary, whole}}})
	}
	return append(t, conversation{section: "limits", name: "one byte over 16 MiB in two pieces",
		send: []frameSpec{{op: opBinary, more: true, payload: fill(16 << 20)}, {op: opCont, payload: fill(1)}}, close: 1009})
}
