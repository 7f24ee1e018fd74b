package redisbroker

import (
	"testing"
	"unsafe"
)

// TestFollowIsSmall: a node has a million of them.
func TestFollowIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(follow{}); n > 160 {
		t.Errorf("a follow takes %d bytes", n)
	}
}
