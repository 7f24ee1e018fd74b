package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// serverFrame is a frame as another implementation writes it.
func serverFrame(op ws.OpCode, fin bool, payload string) []byte {
	var b bytes.Buffer
	if err := ws.WriteFrame(&b, ws.NewFrame(op, fin, []byte(payload))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// readFrame reads a frame as another implementation does, with a bound.
func readFrame(r io.Reader) (ws.Frame, error) {
	h, err := ws.ReadHeader(r)
	if err != nil || h.Length > maxMessageBytes {
		return ws.Frame{}, fmt.Errorf("frame of %d bytes: %w", h.Length, err)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

func TestNextFrame(t *testing.T) {
	for name, c := range map[string]struct {
		in      string
		op      byte
		fin     bool
		payload string
		n       int
		err     error
	}{
		"nothing":                {"", 0, false, "", 0, nil},
		"half a header":          {"\x81", 0, false, "", 0, nil},
		"empty text":             {"\x81\x00", opText, true, "", 2, nil},
		"text and more":          {"\x81\x02hi\x81", opText, true, "hi", 4, nil},
		"half a payload":         {"\x81\x02h", 0, false, "", 0, nil},
		"first of several":       {"\x01\x01a", opText, false, "a", 3, nil},
		"last of several":        {"\x80\x01b", opContinuation, true, "b", 3, nil},
		"ping":                   {"\x89\x01p", opPing, true, "p", 3, nil},
		"close with a code":      {"\x88\x02\x03\xe8", opClose, true, "\x03\xe8", 4, nil},
		"126 bytes":              {"\x81\x7e\x00\x7e" + strings.Repeat("x", 126), opText, true, strings.Repeat("x", 126), 130, nil},
		"half of a long header":  {"\x81\x7e\x00", 0, false, "", 0, nil},
		"64 KiB":                 {"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + strings.Repeat("x", 1<<16), opBinary, true, strings.Repeat("x", 1<<16), 10 + 1<<16, nil},
		"1 MiB is announced":     {"\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x00", 0, false, "", 0, nil},
		"more is refused":        {"\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01", 0, false, "", 0, errTooBig},
		"2^63 is refused":        {"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 0, false, "", 0, errTooBig},
		"125 in a long form":     {"\x81\x7e\x00\x7d", 0, false, "", 0, errLength},
		"65535 in a longer form": {"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 0, false, "", 0, errLength},
		"masked":                 {"\x81\x80\x00\x00\x00\x00", 0, false, "", 0, errMasked},
		"compressed":             {"\xc1\x00", 0, false, "", 0, errReserved},
		"opcode 3":               {"\x83\x00", 0, false, "", 0, errOpcode},
		"opcode 11":              {"\x8b\x00", 0, false, "", 0, errOpcode},
		"ping in parts":          {"\x09\x00", 0, false, "", 0, errControl},
		"long ping":              {"\x89\x7e\x00\x7e", 0, false, "", 0, errControl},
	} {
		t.Run(name, func(t *testing.T) {
			f, n, err := nextFrame([]byte(c.in))
			if n != c.n || !errors.Is(err, c.err) {
				t.Fatalf("%d bytes, %v; want %d, %v", n, err, c.n, c.err)
			}
			if n > 0 && (f.op != c.op || f.fin != c.fin || string(f.payload) != c.payload) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// Another implementation understands what this one writes.
func TestMaskedFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("abc"), size/3+1)[:size]
		f, err := readFrame(bytes.NewReader(appendMasked(nil, opText, payload)))
		if err != nil || !f.Header.Masked || !f.Header.Fin || f.Header.OpCode != ws.OpText {
			t.Fatalf("%d bytes: %+v, %v", size, f.Header, err)
		}
		if f = ws.UnmaskFrame(f); !bytes.Equal(f.Payload, payload) {
			t.Errorf("%d bytes: the payload differs", size)
		}
	}
}

// FuzzNextFrame: whatever comes, a frame lies within the input, what is a frame
// does not depend on what follows it, and a part of it is none.
func FuzzNextFrame(f *testing.F) {
	for _, seed := range []string{"\x81\x02hi", "\x88\x02\x03\xe8", "\x81\x7e\x00\x7e", "\x01\x01a\x80\x01b", "\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01"} {
		f.Add([]byte(seed))
	}
	f.Add(serverFrame(ws.OpText, true, strings.Repeat("y", 300)))
	f.Fuzz(func(t *testing.T, p []byte) {
		frame, n, err := nextFrame(p)
		if n < 0 || n > len(p) || err != nil && n != 0 || n != 0 && n < 2+len(frame.payload) {
			t.Fatalf("%d of %d bytes, payload %d, %v", n, len(p), len(frame.payload), err)
		}
		if n == 0 {
			return
		}
		for _, cut := range []int{1, n / 2, n - 1} {
			if _, m, err := nextFrame(p[:cut]); m != 0 || err != nil {
				t.Fatalf("%d of %d bytes are a frame: %v", cut, n, err)
			}
		}
		again, m, err := nextFrame(p[:n])
		if m != n || err != nil || again.op != frame.op || !bytes.Equal(again.payload, frame.payload) {
			t.Fatalf("without what follows: %d bytes, %v", m, err)
		}
	})
}
