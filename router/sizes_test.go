package router

import (
	"testing"
	"unsafe"
)

// TestRecordSizes: what is there once a connection, a subscription or a channel. The
// density of a server is this table. Unit: bytes.
func TestRecordSizes(t *testing.T) {
	for _, c := range []struct {
		what         string
		size, budget uintptr
	}{
		{"a session", unsafe.Sizeof(session{}), 48},
		{"a membership, its record and its place in an array", unsafe.Sizeof(membership{}) + 4, 16},
		{"a local channel", unsafe.Sizeof(localChannel{}), 24},
		{"a channel, an allocation class", unsafe.Sizeof(channel{}), 128},
	} {
		if c.size > c.budget {
			t.Errorf("%s has %d bytes, budget %d", c.what, c.size, c.budget)
		}
	}
}
