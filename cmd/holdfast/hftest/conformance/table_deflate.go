package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// compressed marks a whole message as deflated (RFC 7692 section 6).
func compressed(op byte, p []byte, level int) frameSpec {
	return frameSpec{op: op, rsv: 4, payload: deflated(p, level)}
}

// zeros is so many MiB of zeros, deflated: the same run of blocks again and again.
func zeros(mib int) []byte {
	const marker = "\x00\x00\xff\xff"
	piece := append(deflated(make([]byte, 1<<20), 9), marker...)
	return bytes.TrimSuffix(bytes.Repeat(piece, mib), []byte(marker))
}

func compression() (t []conversation) {
	add := func(name string, code int, want []message, send ...frameSpec) {
		t = append(t, conversation{section: "compression", name: name, offer: deflateOffer, send: send, want: want, close: code})
	}
	rng := rand.New(rand.NewPCG(5, 5))
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for _, n := range []int{0, 1, 16, 64, 100, 256, 257, 1024, 4096, 8192, 16384, 32768, 65536, 131072, 1 << 20} {
		for level := -2; level <= 9; level += 11 {
			add(fmt.Sprintf("%d even bytes, level %d", n, level), 0, []message{{opText, fill(n)}}, compressed(opText, fill(n), level))
		}
		add(fmt.Sprintf("%d bytes of noise", n), 0, []message{{opBinary, noise[:n]}}, compressed(opBinary, noise[:n], 6))
		add(fmt.Sprintf("%d bytes, not compressed though it was agreed", n), 0, []message{{opText, fill(n)}}, frameSpec{op: opText, payload: fill(n)})
	}
	whole := deflated(fill(5000), 6)
	for _, cut := range []int{1, 2, len(whole) / 2, len(whole) - 1} {
		add(fmt.Sprintf("two fragments, cut at %d", cut), 0, []message{{opText, fill(5000)}},
			frameSpec{op: opText, rsv: 4, more: true, payload: whole[:cut]}, frameSpec{op: opCont, payload: whole[cut:]})
	}
	add("ping between compressed fragments", 0, []message{{opPong, []byte("p")}, {opText, fill(5000)}},
		frameSpec{op: opText, rsv: 4, more: true, payload: whole[:9]}, ping("p"), frameSpec{op: opCont, payload: whole[9:]})
	var many []frameSpec
	var echoes []message
	for i := range 50 {
		p := fmt.Appendf(nil, "%d %s", i, fill(300))
		many, echoes = append(many, compressed(opText, p, 6)), append(echoes, message{opText, p})
	}
	add("50 messages", 0, echoes, many...)

	add("RSV1 on a continuation", 1002, nil, frameSpec{op: opText, rsv: 4, more: true, payload: whole[:9]}, frameSpec{op: opCont, rsv: 4, payload: whole[9:]})
	add("RSV1 on a ping", 1002, nil, rsv(ping("x"), 4))
	add("RSV1 on a close", 1002, nil, rsv(closing(1000, ""), 4))
	add("RSV2 on a compressed message", 1002, nil, frameSpec{op: opText, rsv: 6, payload: whole})
	add("not deflate at all", 1002, nil, frameSpec{op: opBinary, rsv: 4, payload: []byte{0x07, 0xff, 0xff, 0xff}})
	add("invalid UTF-8 inside", 1007, nil, compressed(opText, []byte("ok\xed\xa0\x80"), 6))
	add("16 MiB and a byte of zeros", 1009, nil, compressed(opBinary, make([]byte, 16<<20+1), 9))
	add("256 MiB of zeros", 1009, nil, frameSpec{op: opBinary, rsv: 4, payload: zeros(256)})

	// RFC 7692 section 7.2.3: fixed examples of "Hello".
	hello := []message{{opText, []byte("Hello")}}
	add("7.2.3.1 one block", 0, hello, frameSpec{op: opText, rsv: 4, payload: []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}})
	add("7.2.3.1 two fragments", 0, hello, frameSpec{op: opText, rsv: 4, more: true, payload: []byte{0xf2, 0x48, 0xcd}}, frameSpec{op: opCont, payload: []byte{0xc9, 0xc9, 0x07, 0x00}})
	add("7.2.3.3 stored block", 0, hello, frameSpec{op: opText, rsv: 4, payload: []byte{0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00}})
	add("7.2.3.4 final block", 0, hello, frameSpec{op: opText, rsv: 4, payload: []byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00}})
	add("7.2.3.5 two blocks", 0, hello, frameSpec{op: opText, rsv: 4, payload: []byte{0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00}})

	t = append(t, conversation{section: "compression", name: "RSV1 without an agreement", send: []frameSpec{compressed(opText, []byte("x"), 6)}, close: 1002})
	return t
}
