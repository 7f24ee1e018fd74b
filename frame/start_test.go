package frame

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

// TestDeflatedStartAndEnd: what a start and an end are joined to inflates to both.
func TestDeflatedStartAndEnd(t *testing.T) {
	random := make([]byte, 5000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	d := NewDeflater()
	for _, start := range []string{"", "a", strings.Repeat("hello world ", 500), string(random)} {
		for _, end := range []string{"", "}", `,"seq":9007199254740991}`, strings.Repeat("z", 65535)} {
			got := AppendDeflatedFrame([]byte("x"), OpText, d.AppendStart(nil, []byte(start)), []byte(end))[1:]
			if len(got) != DeflatedFrameLen(len(d.AppendStart(nil, []byte(start))), len(end)) {
				t.Errorf("start of %d, end of %d: the length is not what was said", len(start), len(end))
			}
			if got[0] != 0x80|0x40|byte(OpText) {
				t.Fatalf("first byte %x", got[0])
			}
			p := &Prepared{Plain: got}
			_, payload := p.split()
			r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
			text, err := io.ReadAll(r)
			if err != nil || string(text) != start+end {
				t.Errorf("start of %d, end of %d: %d bytes, %v", len(start), len(end), len(text), err)
			}
		}
	}
}
