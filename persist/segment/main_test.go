package segment

import (
	"os"
	"testing"
)

// The environment variable that makes this binary play a part of a test: a process
// whose system calls fail.
const childEnv = "SEGMENT_TEST_CHILD"

func TestMain(m *testing.M) {
	if part := os.Getenv(childEnv); part != "" {
		os.Exit(faultChild(part, os.Args[len(os.Args)-1]))
	}
	os.Exit(m.Run())
}
