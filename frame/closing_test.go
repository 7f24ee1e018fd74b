package frame

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCloseCodes tries all 65,536 codes through the parser.
func TestCloseCodes(t *testing.T) {
	valid := func(code int) bool {
		switch {
		case code >= 1000 && code <= 1003: // RFC 6455 section 7.4.1
			return true
		case code >= 1007 && code <= 1011:
			return true
		case code >= 1012 && code <= 1014: // registered with IANA since
			return true
		case code >= 3000 && code <= 4999: // section 7.4.2
			return true
		}
		return false // 1004, 1005, 1006, 1015, below 1000, 1016-2999, from 5000 on
	}
	ps := NewParser()
	for code := range 1 << 16 {
		r := newRecorder()
		_, st, err := ps.Parse(nil, false, testLimits, wire(closing(code, "why")), r)
		if st != nil {
			t.Fatalf("%d: state kept", code)
		}
		if !valid(code) {
			if err != errCloseCode || len(r.events) != 0 {
				t.Fatalf("%d: error %v, events %v", code, err, r.events)
			}
			continue
		}
		if err != nil || r.events[0] != fmt.Sprintf(`close %d "why" true`, code) {
			t.Fatalf("%d: error %v, events %v", code, err, r.events)
		}
	}
}

func TestCloseCode(t *testing.T) {
	cases := []struct {
		name   string
		p      string
		code   uint16
		reason string
		ok     bool
	}{
		{"empty", "", 1005, "", true},
		{"one byte", "\x03", 0, "", false},
		{"code alone", "\x03\xe8", 1000, "", true},
		{"code and reason", "\x0f\xa1bye", 4001, "bye", true},
		{"code that may not be sent", "\x03\xee", 0, "", false},
		{"reason not UTF-8", "\x03\xe8\xff", 0, "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, reason, ok := CloseCode([]byte(c.p))
			if code != c.code || reason != c.reason || ok != c.ok {
				t.Fatalf("%d %q %v", code, reason, ok)
			}
		})
	}
}

func TestAppendClose(t *testing.T) {
	long := strings.Repeat("x", 122)
	cases := []struct {
		name string
		r    CloseReason
		want string // payload
	}{
		{"code and text", CloseReason{4200, "bye", ""}, "\x10\x68bye"},
		{"no text", CloseReason{1000, "", ""}, "\x03\xe8"},
		{"123 bytes fit", CloseReason{1000, long + "y", ""}, "\x03\xe8" + long + "y"},
		{"124 bytes are cut", CloseReason{1000, long + "yz", ""}, "\x03\xe8" + long + "y"},
		{"cut before a rune", CloseReason{1000, long + "é", ""}, "\x03\xe8" + long},
		{"cut before a long rune", CloseReason{1000, long[:120] + "😀", ""}, "\x03\xe8" + long[:120]},
		{"1005 is never sent", CloseReason{1005, "x", ""}, ""},
		{"1006 is never sent", PeerReset, ""},
		{"1015 is never sent", CloseReason{1015, "x", ""}, ""},
		{"no code", CloseReason{0, "x", ""}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := AppendClose([]byte("before"), c.r)
			want := "before" + string([]byte{0x88, byte(len(c.want))}) + c.want
			if string(got) != want {
				t.Fatalf("got %q\nwant %q", got, want)
			}
		})
	}
}

// TestReasonTable pins the codes and labels that clients and dashboards rely on,
// and that every text goes into a Close frame uncut.
func TestReasonTable(t *testing.T) {
	table := []struct {
		r     CloseReason
		code  uint16
		label string
	}{
		{UnknownApp, 4001, "unknown_app"},
		{AppDisabled, 4003, "app_disabled"},
		{BadPath, 4005, "bad_path"},
		{BadVersion, 4006, "bad_version"},
		{UnsupportedVersion, 4007, "unsupported_version"},
		{OriginRefused, 4009, "origin"},
		{Terminated, 4009, "terminated"},
		{OverCapacity, 4100, "over_capacity"},
		{Slow, 4100, "slow"},
		{Drain, 4200, "drain"},
		{NoPong, 4201, "no_pong"},
		{ProtocolError, 1002, "protocol"},
		{BinaryRefused, 1003, "binary"},
		{BadUTF8, 1007, "utf8"},
		{RateLimited, 1008, "rate"},
		{MessageTooBig, 1009, "too_big"},
		{Internal, 1011, "internal"},
		{PeerClosed, 1006, "peer_closed"},
		{PeerReset, 1006, "peer_reset"},
		{HandshakeTimeout, 1006, "handshake_timeout"},
	}
	labels := map[string]bool{}
	for _, row := range table {
		if row.r.Code != row.code || row.r.Label != row.label {
			t.Errorf("%+v, want code %d label %s", row.r, row.code, row.label)
		}
		if labels[row.label] {
			t.Errorf("label %s twice", row.label)
		}
		labels[row.label] = true
		if len(row.r.Text) > maxCloseText || !utf8.ValidString(row.r.Text) || row.r.Text == "" {
			t.Errorf("%s: text %q", row.label, row.r.Text)
		}
	}
	// So do the texts of the parser's own verdicts.
	for _, err := range []error{errReservedBit, errOpcode, errNotMasked, errLength, errControlLength, errControlFragment,
		errNewMessage, errNoMessage, errCloseLength, errCloseCode, errDeflate, errTextUTF8, errCloseUTF8,
		errTooLong, errInflated, errTooManyFrag} {
		if r := err.(CloseReason); len(r.Text) > maxCloseText || !labels[r.Label] {
			t.Errorf("%v", err)
		}
	}
}

func TestReasonIsAnError(t *testing.T) {
	r := RateLimited.With("control frames: 11 in 1 s")
	if got, want := r.Error(), "close 1008 (rate): control frames: 11 in 1 s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := PeerClosed.With("").Error(), "close 1006 (peer_closed)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if RateLimited.Text == r.Text || r.Code != RateLimited.Code || r.Label != RateLimited.Label {
		t.Errorf("With changed more than its copy's text: %+v", r)
	}
}

// TestCloseRoundTrip: what AppendClose writes is what CloseCode reads.
func TestCloseRoundTrip(t *testing.T) {
	frame := AppendClose(nil, NoPong)
	code, reason, ok := CloseCode(frame[2:])
	if !ok || code != NoPong.Code || reason != NoPong.Text {
		t.Fatalf("%d %q %v", code, reason, ok)
	}
	if got := binary.BigEndian.Uint16(frame[2:]); got != 4201 {
		t.Fatalf("code on the wire %d", got)
	}
}
