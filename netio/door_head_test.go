package netio

import (
	"bytes"
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/frame"
)

var doorTestLimits = doorLimits{Head: frame.HeadLimits{LineBytes: 128, HeadBytes: 512, Count: 16}, Body: 1000}

func TestDoorHead(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: x\r\n"
	tests := []struct {
		name, head string
		want       doorHead // scanned is not compared, bytes and total are relative to the head's length
		refusal    *doorRefusal
		partial    bool
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", doorHead{}, nil, false},
		{"body", post + "Content-Length: 7\r\n\r\n", doorHead{total: 7}, nil, false},
		{"body of the limit", post + "Content-Length: 1000\r\n\r\n", doorHead{total: 1000}, nil, false},
		{"body over the limit", post + "Content-Length: 1001\r\n\r\n", doorHead{oversized: true}, nil, false},
		{"body of any length", post + "Content-Length: 999999999999\r\n\r\n", doorHead{oversized: true}, nil, false},
		{"expectation", post + "Content-Length: 7\r\nExpect: 100-continue\r\n\r\n", doorHead{total: 7, expect: true, waits: true}, nil, false},
		{"expectation without body", post + "Expect: 100-continue\r\n\r\n", doorHead{expect: true}, nil, false},
		{"expectation over the limit", post + "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n", doorHead{oversized: true, expect: true}, nil, false},
		{"upgrade", doorUpgradeHead, doorHead{upgrade: true}, nil, false},
		{"nothing", "", doorHead{}, nil, true},
		{"half", post, doorHead{}, nil, true},
		{"half and over the limits", post + strings.Repeat("x", 700), doorHead{}, doorHeadTooLarge([]byte(post+strings.Repeat("x", 700)), doorTestLimits.Head), false},
		{"chunked", post + "Transfer-Encoding: chunked\r\n\r\n", doorHead{}, doorNoLength, false},
		{"malformed", "GET\r\n\r\n", doorHead{}, doorMalformed, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got doorHead
			complete, refusal := got.parse([]byte(tt.head), doorTestLimits, nil, new(frame.Head))
			if !sameRefusal(refusal, tt.refusal) || complete == (tt.partial || tt.refusal != nil) {
				t.Fatalf("complete %v, refusal %+v", complete, refusal)
			}
			if !complete {
				return
			}
			tt.want.bytes, tt.want.total = len(tt.head), tt.want.total+len(tt.head)
			if got.scanned = 0; got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func sameRefusal(a, b *doorRefusal) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func TestDoorDropField(t *testing.T) {
	tests := []struct{ name, head, want string }{
		{"absent", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"first", "GET / HTTP/1.1\r\nEXPECT: 100-continue\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"last", "GET / HTTP/1.1\r\nHost: x\r\nExpect:y\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"twice", "GET / HTTP/1.1\r\nExpect: y\r\nHost: x\r\nExpect: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"longer name", "GET / HTTP/1.1\r\nExpected: y\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nExpected: y\r\nHost: x\r\n\r\n"},
		{"as a value", "GET / HTTP/1.1\r\nX: Expect:\r\n\r\n", "GET / HTTP/1.1\r\nX: Expect:\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := doorDropField([]byte(tt.head), "Expect"); string(got) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzDoorHead: a head that comes in two parts is understood like one that comes
// whole, and one without its Expect field means the same but for that.
func FuzzDoorHead(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"), uint(9))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"), uint(50))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"), uint(55))
	f.Add([]byte(doorUpgradeHead), uint(3))
	f.Fuzz(func(t *testing.T, p []byte, at uint) {
		lim := doorTestLimits
		var whole, parts doorHead
		complete, refusal := whole.parse(p, lim, nil, new(frame.Head))
		cut := int(at % uint(len(p)+1))
		if early, no := parts.parse(p[:cut], lim, nil, new(frame.Head)); !early && no == nil {
			later, no := parts.parse(p, lim, nil, new(frame.Head))
			if parts.scanned = whole.scanned; later != complete || !sameRefusal(no, refusal) || parts != whole {
				t.Fatalf("whole %v %+v %+v, in parts %v %+v %+v", complete, refusal, whole, later, no, parts)
			}
		}
		if !complete {
			return
		}
		if whole.bytes > len(p) || whole.total < whole.bytes || whole.total > whole.bytes+int(lim.Body) {
			t.Fatalf("%+v of %d bytes", whole, len(p))
		}
		var before, after frame.Head
		if err := before.Parse(bytes.Clone(p), lim.Head); err != nil {
			t.Fatal(err)
		}
		if err := after.Parse(doorDropField(bytes.Clone(p[:whole.bytes]), "Expect"), lim.Head); err != nil {
			t.Fatal(err)
		}
		if after.Expect100 || after.ContentLength != before.ContentLength || !bytes.Equal(after.Target, before.Target) ||
			!bytes.Equal(after.Host, before.Host) || after.Upgrade != before.Upgrade || after.KeepAlive != before.KeepAlive {
			t.Fatalf("before %+v, after %+v", before, after)
		}
	})
}
