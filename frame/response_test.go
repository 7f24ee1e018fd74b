package frame

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAppendUpgrade uses the key and answer of RFC 6455 section 1.3.
func TestAppendUpgrade(t *testing.T) {
	key := []byte("dGhlIHNhbXBsZSBub25jZQ==")
	got := string(AppendUpgrade([]byte("before"), key, ""))
	want := "before" + "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(AppendUpgrade(nil, key, deflateAnswer))), nil)
	if err != nil || r.StatusCode != 101 || r.Header.Get("Sec-Websocket-Extensions") != deflateAnswer {
		t.Errorf("%v, %v", r, err)
	}
}

func TestAppendHTTPError(t *testing.T) {
	cases := []struct {
		status        int
		code, message string
	}{
		{400, "bad_request", "malformed HTTP/1.1 request"},
		{426, "upgrade_required", "Sec-WebSocket-Version must be 13"},
		{431, "head_too_large", "head is 9,000 bytes, limit 8,192: raise limits.head_bytes"},
		{503, "draining", `quotes " and \ and` + " \n\x00 control, é and \xff"},
		{599, "other", ""},
	}
	for _, c := range cases {
		p := AppendHTTPError([]byte("before"), c.status, c.code, c.message)
		p, found := bytes.CutPrefix(p, []byte("before"))
		if !found {
			t.Fatal("did not append")
		}
		in := bufio.NewReader(bytes.NewReader(p))
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || in.Buffered() > 0 {
			t.Fatalf("%d: %v, %d bytes behind the body", c.status, err, in.Buffered())
		}
		var got struct {
			Error, Code string
			Status      int
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if want := strings.ToValidUTF8(c.message, "\ufffd"); got.Error != want || got.Code != c.code || got.Status != c.status || r.StatusCode != c.status {
			t.Errorf("%+v with status %d", got, r.StatusCode)
		}
		if !r.Close || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d: %v", c.status, r.Header)
		}
		if upgrade := c.status == 426; upgrade != (r.Header.Get("Upgrade") == "websocket") || upgrade != (r.Header.Get("Sec-Websocket-Version") == "13") {
			t.Errorf("%d: %v", c.status, r.Header)
		}
	}
}

// TestHTTPErrorBody pins the members and their order.
func TestHTTPErrorBody(t *testing.T) {
	p := string(AppendHTTPError(nil, 431, "head_too_large", "too large"))
	want := "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nContent-Length: 58\r\nConnection: close\r\n\r\n" +
		`{"error":"too large","code":"head_too_large","status":431}`
	if p != want {
		t.Errorf("got\n%s\nwant\n%s", p, want)
	}
}
