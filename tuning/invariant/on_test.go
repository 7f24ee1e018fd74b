//go:build invariants

package invariant

import "testing"

func TestOwnerRefusesAnotherGoroutine(t *testing.T) {
	var o Owner
	o.Check() // not taken yet: anybody may
	o.Take()
	o.Check()

	caught := make(chan any)
	go func() {
		defer func() { caught <- recover() }()
		o.Check()
	}()
	if <-caught == nil {
		t.Fatal("a foreign goroutine passed the owner check")
	}
}

func TestCheckPanicsWithItsSentence(t *testing.T) {
	defer func() {
		if got := recover(); got != "invariant: slot is live" {
			t.Fatalf("panic value = %v", got)
		}
	}()
	Check(true, "unused")
	Check(false, "slot is live")
}
