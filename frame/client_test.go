package frame

import (
	"bytes"
	"encoding/hex"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

// The masked example of RFC 6455 section 5.7.
func TestClientFrameOfTheRFC(t *testing.T) {
	got := AppendClientFrame([]byte("before"), OpText, 0x3d21fa37, []byte("Hello"))
	if want := "before\x81\x857\xfa!=\x7f\x9fMQX"; string(got) != want {
		t.Fatalf("%s, want %s", hex.EncodeToString(got), hex.EncodeToString([]byte(want)))
	}
}

// gobwas/ws reads back what was written, for every way to tell the length.
func TestClientFrameReadsBack(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 70001} {
		payload := bytes.Repeat([]byte("holdfast"), n/8+1)[:n]
		r := bytes.NewReader(AppendClientFrame(nil, OpBinary, 0xdeadbeef, payload))
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		got, err := io.ReadAll(r)
		ws.Cipher(got, h.Mask, 0)
		if err != nil || !h.Masked || !h.Fin || h.OpCode != ws.OpBinary || h.Length != int64(n) || !bytes.Equal(got, payload) {
			t.Errorf("%d bytes: %+v, %v", n, h, err)
		}
	}
}
