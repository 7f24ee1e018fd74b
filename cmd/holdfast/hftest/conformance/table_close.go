package conformance

import (
	"fmt"
	"strings"
)

func closes() (t []conversation) {
	add := func(c conversation) {
		c.section = "close"
		t = append(t, c)
	}
	add(conversation{name: "without payload", send: []frameSpec{emptyClose()}, silent: true, close: 1005})
	add(conversation{name: "one byte of payload", send: []frameSpec{{op: opClose, payload: []byte{3}}}, close: 1002})
	add(conversation{name: "reason of 123 bytes", send: []frameSpec{closing(1000, strings.Repeat("r", 123))}, close: 1000})
	add(conversation{name: "reason of 124 bytes", send: []frameSpec{closing(1000, strings.Repeat("r", 124))}, close: 1002})
	add(conversation{name: "reason in UTF-8", send: []frameSpec{closing(1000, "grüße κόσμε 🙂")}, close: 1000})
	for i, s := range []string{"\xff", "ok\xed\xa0\x80", "\xce", "\xc0\x80"} {
		add(conversation{name: fmt.Sprintf("reason not in UTF-8 %d", i), send: []frameSpec{closing(1000, s)}, close: 1007})
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		for _, reason := range []string{"", "why"} {
			add(conversation{name: fmt.Sprintf("code %d, reason %q", code, reason), send: []frameSpec{closing(code, reason)}, close: int(code)})
		}
	}
	for _, code := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535} {
		for _, reason := range []string{"", "why"} {
			add(conversation{name: fmt.Sprintf("invalid code %d, reason %q", code, reason), send: []frameSpec{closing(code, reason)}, close: 1002})
		}
	}
	hello := message{opText, []byte("hello")}
	add(conversation{name: "behind a message", send: []frameSpec{text("hello"), closing(1000, "")}, want: []message{hello}, close: 1000})
	add(conversation{name: "text behind it is ignored", send: []frameSpec{text("hello"), closing(1000, ""), text("late")}, want: []message{hello}, close: 1000})
	add(conversation{name: "ping behind it is ignored", send: []frameSpec{closing(1000, ""), ping("late")}, close: 1000})
	add(conversation{name: "a second one is ignored", send: []frameSpec{closing(1000, ""), closing(1001, "")}, close: 1000})
	add(conversation{name: "256 KiB behind it", send: []frameSpec{closing(1000, ""), bin(fill(256 << 10))}, close: 1000})
	add(conversation{name: "inside a fragmented message", send: []frameSpec{frag(opText, "half"), closing(1000, "enough"), final("late")}, close: 1000})
	add(conversation{name: "256 KiB and close at once", send: []frameSpec{bin(fill(256 << 10)), closing(1000, "")}, want: []message{{opBinary, fill(256 << 10)}}, close: 1000})
	return t
}
