package frame

import (
	"bytes"
	"encoding/hex"
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
		f, err := ws.ReadFrame(bytes.NewReader(AppendClientFrame(nil, OpBinary, 0xdeadbeef, payload)))
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !f.Header.Masked || !f.Header.Fin || f.Header.OpCode != ws.OpBinary || !bytes.Equal(ws.UnmaskFrame(f).Payload, payload) {
			t.Errorf("%d bytes: %+v", n, f.Header)
		}
	}
}
