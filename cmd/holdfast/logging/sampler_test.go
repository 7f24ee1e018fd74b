package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// bench is a logger with a clock that a test moves.
type bench struct {
	t    *testing.T
	now  time.Time
	out  bytes.Buffer
	log  *slog.Logger
	samp *Sampler
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, now: time.Unix(1_700_000_000, 0)}
	b.log, b.samp = New(Options{Out: &b.out, Format: "json", Level: slog.LevelInfo, Now: func() time.Time { return b.now }})
	return b
}

func (b *bench) advance(d time.Duration) {
	b.now = b.now.Add(d)
	b.samp.Sweep()
}

// want compares the lines since the last call with "msg" or "msg count=n".
func (b *bench) want(lines ...string) {
	b.t.Helper()
	var got []string
	for line := range strings.Lines(b.out.String()) {
		var record struct {
			Msg   string
			Count int
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		if record.Count > 0 {
			record.Msg += fmt.Sprintf(" count=%d", record.Count)
		}
		got = append(got, record.Msg)
	}
	b.out.Reset()
	if strings.Join(got, "|") != strings.Join(lines, "|") {
		b.t.Errorf("lines %q, want %q", got, lines)
	}
}

func (b *bench) say(n int, msg string) {
	for range n {
		b.log.Info(msg)
	}
}

func TestSampler(t *testing.T) {
	b := newBench(t)

	t.Log("the first five pass, others only count")
	b.say(9, "a")
	b.want("a", "a", "a", "a", "a")

	t.Log("another message has its own window")
	b.say(1, "b")
	b.want("b")

	t.Log("the count comes when the window ends, without another record")
	b.advance(9 * time.Second)
	b.want()
	b.advance(time.Second)
	b.want("a count=4")

	t.Log("a window that held everything ends without a word")
	b.say(5, "c")
	b.advance(10 * time.Second)
	b.want("c", "c", "c", "c", "c")

	t.Log("a late sweep: the next record writes the count before itself")
	b.say(6, "d")
	b.now = b.now.Add(11 * time.Second)
	b.say(1, "d")
	b.want("d", "d", "d", "d", "d", "d count=1", "d")

	t.Log("the same text at another level is another message")
	b.say(5, "e")
	b.log.Warn("e")
	b.want("e", "e", "e", "e", "e", "e")

	t.Log("below the level nothing counts")
	for range 10 {
		b.log.Debug("f")
	}
	b.say(1, "f")
	b.want("f")

	t.Log("the end of the process does not lose counts")
	b.say(6, "g")
	b.samp.Flush()
	b.want("g", "g", "g", "g", "g", "g count=1")
}

func TestSamplerKeepsTheFieldsOfWith(t *testing.T) {
	b := newBench(t)
	log := b.log.With("listener", "main")
	for range 6 {
		log.Info("a")
	}
	b.out.Reset()
	b.advance(window)
	if got := b.out.String(); !strings.Contains(got, `"listener":"main","count":1,"dur_ms":10000`) {
		t.Errorf("count record %s", got)
	}
}

func TestSamplerTableIsBounded(t *testing.T) {
	b := newBench(t)
	for i := range 2 * maxWindows {
		b.say(1, fmt.Sprint("message ", i))
	}
	if n := len(b.samp.open); n > maxWindows+1 {
		t.Errorf("%d windows", n)
	}
	if n := strings.Count(b.out.String(), "\n"); n != maxWindows+firstRecords {
		t.Errorf("%d lines, want one a window and the first of the shared one", n)
	}
	b.advance(window)
	if n := len(b.samp.open); n != 0 {
		t.Errorf("%d windows left", n)
	}
}

func TestSamplerFromManyGoroutines(t *testing.T) {
	b := newBench(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { b.say(100, "a") })
	}
	wg.Wait()
	b.samp.Flush()
	b.want("a", "a", "a", "a", "a", "a count=795")
}
