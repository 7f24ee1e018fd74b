package main

import (
	"testing"
	"time"
)

func TestProbeTellsWhatHangs(t *testing.T) {
	var p probe
	release, done := make(chan struct{}), make(chan struct{})
	at := time.Unix(1000, 0)
	hang := func() { <-release; close(done) }
	never := func() { t.Error("a second call while one is under way") }
	if !p.moving(at, hang) || !p.moving(at.Add(probeLimit-1), never) {
		t.Error("it does not hang yet")
	}
	if p.moving(at.Add(probeLimit), never) {
		t.Error("it hangs")
	}
	close(release)
	<-done
	for {
		p.mu.Lock()
		over := p.began.IsZero()
		p.mu.Unlock()
		if over {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if !p.moving(at.Add(time.Hour), func() {}) {
		t.Error("it moves again")
	}
}
