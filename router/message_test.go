package router

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"weak"

	"github.com/holdfast-edge/holdfast/frame"
)

// TestAMessageIsNotKept: when a loop has handled a message, nothing refers to it any
// more. It may be megabytes, and the next one hours away.
func TestAMessageIsNotKept(t *testing.T) {
	e := newEdge(t, 1)
	p := crowd(e, 1, "news")[0]
	big := strings.Repeat(`\n`, 1<<19)
	for what, text := range map[string]string{
		"a ping":            `{"event":"pusher:ping","data":"` + big + `"}`,
		"a client event":    `{"event":"client-a","channel":"private-a","data":"` + big + `"}`,
		"an unknown event":  `{"event":"a","channel":"` + big + `","data":"x"}`,
		"a subscribe":       `{"event":"pusher:subscribe","data":{"channel":"private-a","auth":"` + big + `"}}`,
		"something unknown": big,
	} {
		input := func() weak.Pointer[byte] {
			data := []byte(text)
			var reason frame.CloseReason
			if err := p.loop.s.Message(e.now, p.slot, frame.OpText, data); err != nil && !errors.As(err, &reason) {
				t.Fatalf("%s: %v", what, err)
			}
			return weak.Make(&data[0])
		}()
		runtime.GC()
		if input.Value() != nil {
			t.Errorf("%s of %d bytes is kept", what, len(text))
		}
	}
}
