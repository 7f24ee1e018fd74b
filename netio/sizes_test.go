package netio

import (
	"testing"
	"unsafe"

	"github.com/holdfast-edge/holdfast/netio/wheel"
)

// TestRecordSizes: what an idle connection is. Unit: bytes.
func TestRecordSizes(t *testing.T) {
	for _, c := range []struct {
		what         string
		size, budget uintptr
	}{
		{"a connection's record", unsafe.Sizeof(record{}), 36},
		{"its timer node", unsafe.Sizeof(wheel.Node{}), 16},
	} {
		if c.size != c.budget {
			t.Errorf("%s has %d bytes, budget %d", c.what, c.size, c.budget)
		}
	}
}
