package conformance

import "fmt"

// validTexts cover every length of UTF-8 sequence and the borders of each range
// (RFC 3629 section 4).
var validTexts = []string{
	"", "plain", "grüße", "κόσμε", "日本語", "🙂🙃",
	"\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff",
	"\U00010000", "\U0003fffe", "\U000fffff", "\U0010fffe", "\U0010ffff",
	"a\u0301\u0000b\U0001f600c",
}

// invalidTexts are sequences that no decoder may accept.
var invalidTexts = []string{
	"\x80", "\xbf", "\x80\xbf", "a\x80b",
	"\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", // overlong
	"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80",
	"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", // surrogates
	"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", // above U+10FFFF
	"\xfe", "\xff", "\xfe\xfe\xff\xff",
	"\xc2", "\xe1\x80", "\xf1\x80\x80", "ok\xe2\x82", // cut short
	"\xc2a", "\xe1\x80a", "\xf1\x80\x80a", "\xc2\xc2\x80", // broken off
	"κόσμε\xed\xa0\x80edited", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
}

func utf8Cases() (t []conversation) {
	for i, s := range validTexts {
		t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("valid %d %+q", i, s), send: []frameSpec{text(s)}, want: []message{{opText, []byte(s)}}})
		for split := 1; split < len(s); split++ {
			t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("valid %d split at %d", i, split),
				send: []frameSpec{frag(opText, s[:split]), final(s[split:])}, want: []message{{opText, []byte(s)}}})
		}
	}
	for i, s := range invalidTexts {
		t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("invalid %d %+q", i, s), send: []frameSpec{text(s)}, close: 1007})
		for split := 1; split < len(s); split++ {
			t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("invalid %d split at %d", i, split),
				send: []frameSpec{frag(opText, s[:split]), final(s[split:])}, close: 1007})
		}
		t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("invalid %d is welcome in binary", i),
			send: []frameSpec{bin([]byte(s))}, want: []message{{opBinary, []byte(s)}}})
	}
	// Fail fast: the end of the message never comes, the verdict must.
	for i, s := range []string{"\xff", "good\xed\xa0\x80", "κόσμε\xf4\x90", "\xc0"} {
		t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("fails fast %d", i), send: []frameSpec{frag(opText, s)}, close: 1007, early: true})
		t = append(t, conversation{section: "utf-8", name: fmt.Sprintf("fails fast in the second fragment %d", i),
			send: []frameSpec{frag(opText, "fine "), frag(opCont, s)}, close: 1007, early: true})
	}
	return t
}
