package main

import (
	"errors"
	"strings"
	"testing"
)

// The key, secret, body and signature are the worked example of the public Pusher HTTP API reference.
func TestSignedTargetOfThePublicExample(t *testing.T) {
	body := []byte(`{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`)
	got := signedTarget("/apps/3/events", "278d425bdf160c739803", "7ad3773142a6692b25b8", body, 1353088179)
	want := "/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0" +
		"&body_md5=ec365a775a4cd0599faeb73354201b6f" +
		"&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
	if got != want {
		t.Fatalf("signed target\n%s, want\n%s", got, want)
	}
}

func TestPublishRequest(t *testing.T) {
	shape := messageShape{padding: []byte("xy")}
	floor := string(publishRequest(target{}, "h", shape, 7, 0))
	text := `{"event":"bench","channel":"bench","data":"0000000007xy"}`
	if !strings.HasPrefix(floor, "POST /publish HTTP/1.1\r\n") || !strings.HasSuffix(floor, "\r\nContent-Length: 57\r\n\r\n"+text) {
		t.Fatalf("floor: %q", floor)
	}
	pusher := string(publishRequest(target{pusher: true}, "h", shape, 7, 0))
	if !strings.HasPrefix(pusher, "POST /apps/app-id/events?auth_key=app-key&") ||
		!strings.HasSuffix(pusher, "\r\n\r\n"+`{"name":"bench","channels":["bench"],"data":"0000000007xy"}`) {
		t.Fatalf("pusher: %q", pusher)
	}
	shape.channel, shape.durable = "bench-7", true
	if durable := string(publishRequest(target{pusher: true}, "h", shape, 7, 0)); !strings.HasSuffix(durable, "\r\n\r\n"+`{"name":"bench","channels":["bench-7"],"data":"0000000007xy","durable":true}`) {
		t.Fatalf("durable: %q", durable)
	}
}

func TestPublishRequestOfSeveralChannels(t *testing.T) {
	shape := messageShape{channel: "a", more: []string{"b", "c"}}
	if got := string(publishRequest(target{pusher: true}, "h", shape, 7, 0)); !strings.HasSuffix(got, "\r\n\r\n"+`{"name":"bench","channels":["a","b","c"],"data":"0000000007"}`) {
		t.Fatalf("%q", got)
	}
}

func TestAnswerThatRedisIsAway(t *testing.T) {
	text := "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"
	if n, err := answer([]byte(text)); n != 0 || !errors.Is(err, errUnavailable) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := answer([]byte(text[:len(text)-1])); n != 0 || err != nil {
		t.Errorf("cut: %d, %v", n, err)
	}
}

func TestAnswer(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 2\r\n\r\n{}"
	for _, tt := range []struct {
		name, in string
		n        int
		fails    bool
	}{
		{name: "complete", in: ok, n: len(ok)},
		{name: "more behind", in: ok + "HTTP", n: len(ok)},
		{name: "cut in the head", in: ok[:20]},
		{name: "cut in the body", in: ok[:len(ok)-1]},
		{name: "refused", in: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", fails: true},
		{name: "no length", in: "HTTP/1.1 200 OK\r\n\r\n", fails: true},
		{name: "bad length", in: "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}", fails: true},
		{name: "negative length", in: "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if n, err := answer([]byte(tt.in)); n != tt.n || (err != nil) != tt.fails {
				t.Fatalf("answer = %d, %v", n, err)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 500 X\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := answer(b); n < 0 || n > len(b) || (err != nil && n != 0) {
			t.Fatalf("answer = %d of %d, %v", n, len(b), err)
		}
	})
}

func TestMessageNumber(t *testing.T) {
	text := messageShape{padding: []byte("xxx")}.appendText(nil, 1234567)
	if n, ok := messageNumber(messagePrefix, text); !ok || n != 1234567 {
		t.Fatalf("messageNumber(%s) = %d, %v", text, n, ok)
	}
	for _, other := range []string{"", `{"event":"pusher:ping","data":{}}`, `{"event":"bench","channel":"bench","data":"12x4567890"}`, string(text[:len(messagePrefix)+5])} {
		if _, ok := messageNumber(messagePrefix, []byte(other)); ok {
			t.Errorf("%q counts as a message", other)
		}
	}
}

func TestMessageSeq(t *testing.T) {
	text := messageShape{padding: []byte("xxx"), seq: true}.appendText(nil, 41)
	if seq, ok := messageSeq(text); !ok || seq != 42 {
		t.Fatalf("messageSeq(%s) = %d, %v", text, seq, ok)
	}
	for _, other := range []string{"", `{"event":"bench","channel":"bench","data":"0000000001"}`, `{"seq":1,"data":""}`, `{"data":"","seq":}`, `{"data":"","seq":1x}`} {
		if seq, ok := messageSeq([]byte(other)); ok {
			t.Errorf("%q has seq %d", other, seq)
		}
	}
}

// With a seq of one digit or of seven, a frame has the same size.
func TestNumberedMessagesKeepTheirSize(t *testing.T) {
	shape := messageShape{seq: true}
	shape.padding = sized(165, 2+len(shape.appendText(nil, 0)))
	for _, number := range []int{0, 8, 9, 98, 99, 999, 1_000_000} {
		if text := shape.appendText(nil, number); 4+len(text) != 165 {
			t.Errorf("message %d: frame of %d bytes: %s", number, 4+len(text), text)
		}
	}
}

// Whatever a server adds to the text, the frame comes out at the wanted size: both lengths of header are met.
func TestSizedMeetsTheFrameSize(t *testing.T) {
	frame := func(textBytes int) int {
		if textBytes < 126 {
			return 2 + textBytes
		}
		return 4 + textBytes
	}
	for _, added := range []int{0, 20, 80} {
		bare := len(messageShape{}.appendText(nil, 0)) + added
		padded := len(messageShape{padding: sized(165, frame(bare))}.appendText(nil, 0)) + added
		if got := frame(padded); got != 165 {
			t.Errorf("%d bytes added by the server: frame of %d bytes, want 165", added, got)
		}
	}
}
