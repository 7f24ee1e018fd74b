package persist

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRecoverGivesWhatWasMissed(t *testing.T) {
	b := newBench(t)

	t.Log("a channel without events stands at the life's id")
	p, resident := b.log.Head("news")
	if !resident || p.Seq != 0 || len(p.Epoch) != epochLen {
		t.Fatalf("head of nothing: %+v, %v", p, resident)
	}
	b.wantRecover("news", p.Epoch, 0)

	t.Log("its first event takes that epoch")
	r := b.publish("news", "a")
	if r.Seq != 1 || r.Epoch != p.Epoch || !r.Logged || string(r.Payload) != "a#1" {
		t.Fatalf("first result: %+v", r)
	}
	b.publish("news", "b")
	b.publish("other", "x")
	b.wantRecover("news", p.Epoch, 0, "a#1", "b#2")
	b.wantRecover("news", p.Epoch, 1, "b#2")
	b.wantRecover("news", p.Epoch, 2)

	t.Log("the same from segments, from both, and after a restart")
	b.checkpoint()
	b.wantRecover("news", p.Epoch, 0, "a#1", "b#2")
	b.publish("news", "c")
	b.wantRecover("news", p.Epoch, 0, "a#1", "b#2", "c#3")
	b.restart()
	b.wantRecover("news", p.Epoch, 0, "a#1", "b#2", "c#3")
	if r := b.publish("news", "d"); r.Seq != 4 || r.Epoch != p.Epoch {
		t.Fatalf("after a restart: %+v", r)
	}

	t.Log("what cannot be had has its reason")
	b.wantReason("news", "otherEpoch12", 2, ReasonEpoch)
	b.wantReason("news", p.Epoch, 5, ReasonAhead)
	if _, reason := b.log.Recover("news", Rule{}, p.Epoch, 2, 10); reason != ReasonOff {
		t.Fatalf("no history: %q", reason)
	}
	if _, reason := b.log.Recover("news", standard, p.Epoch, 1, 2); reason != ReasonTooMany {
		t.Fatalf("three missed, two allowed: %q", reason)
	}
}

func TestRuleDecidesAtReadTime(t *testing.T) {
	b := newBench(t)
	epoch := b.publish("a", "one").Epoch
	b.clock.advance(time.Minute)
	b.publish("a", "two")
	b.clock.advance(time.Minute)
	b.publish("a", "three")

	recover := func(rule Rule, from uint64) Reason {
		_, reason := b.log.Recover("a", rule, epoch, from, 100)
		return reason
	}
	for _, c := range []struct {
		name   string
		change func(*Rule)
		first  uint64 // oldest position that recovers
	}{
		{"all of it", func(*Rule) {}, 0},
		{"by events", func(r *Rule) { r.Events = 2 }, 1},
		{"by age", func(r *Rule) { r.Age = 70 * time.Second }, 1},
		{"by a shorter age", func(r *Rule) { r.Age = time.Second }, 2},
		{"by bytes", func(r *Rule) { r.Bytes = int64(len("two#2three#3")) }, 1},
		{"by one byte less", func(r *Rule) { r.Bytes = int64(len("two#2three#3")) - 1 }, 2},
	} {
		rule := standard
		c.change(&rule)
		for from := range uint64(4) {
			want := ReasonExpired
			if from >= c.first {
				want = ReasonOK
			}
			if got := recover(rule, from); got != want {
				t.Errorf("%s, from %d: %q, want %q", c.name, from, got, want)
			}
		}
		if _, from := b.log.Rewind("a", rule, 100, 0); from != c.first {
			t.Errorf("%s: rewind begins at %d, want %d", c.name, from, c.first)
		}
		_, oldest, _ := b.log.History("a", rule, 0, false, "", 10, func(Event) bool { return true })
		if oldest != c.first+1 {
			t.Errorf("%s: oldest is %d, want %d", c.name, oldest, c.first+1)
		}
	}
	if _, from := b.log.Rewind("a", standard, 2, 0); from != 1 {
		t.Errorf("rewind 2 begins at %d", from)
	}
	if _, from := b.log.Rewind("a", standard, 0, 90*time.Second); from != 1 {
		t.Errorf("rewind 90s begins at %d", from)
	}
}

func TestHistoryPages(t *testing.T) {
	b := newBench(t)
	b.publishN("a", "e", 150, standard)
	epoch := b.position("a").Epoch
	page := func(from uint64, has bool, limit int) (seqs []uint64, reason Reason) {
		_, _, reason = b.log.History("a", standard, from, has, epoch, limit, func(e Event) bool {
			if !strings.HasSuffix(string(e.Payload), "#"+strconv.FormatUint(e.Seq, 10)) {
				t.Fatalf("seq %d is %q", e.Seq, e.Payload)
			}
			seqs = append(seqs, e.Seq)
			return true
		})
		return seqs, reason
	}
	for _, where := range []string{"index", "segments"} {
		t.Log(where)
		if got, _ := page(0, false, 100); len(got) != 100 || got[0] != 1 || got[99] != 100 {
			t.Fatalf("first page: %v", got)
		}
		if got, _ := page(100, true, 100); len(got) != 50 || got[0] != 101 {
			t.Fatalf("second page: %v", got)
		}
		if got, reason := page(150, true, 100); len(got) != 0 || reason != ReasonOK {
			t.Fatalf("page at the head: %v %q", got, reason)
		}
		if _, reason := page(151, true, 100); reason != ReasonAhead {
			t.Fatalf("page beyond the head: %q", reason)
		}
		b.checkpoint()
	}
}

func TestDurableWaitsForItsSyncAndKeepsOrder(t *testing.T) {
	b := newBench(t)
	rule := standard
	rule.Durable = true
	first := b.start(Append{Key: "a", Rule: rule}, "one")
	second := b.start(Append{Key: "a", Rule: standard, Durable: false}, "two")
	r1, r2 := first(), second()
	if r1.Err != nil || r2.Err != nil || r1.Seq != 1 || r2.Seq != 2 {
		t.Fatalf("%+v %+v", r1, r2)
	}
	if p := b.position("a"); p.Seq != 2 {
		t.Fatalf("head %+v", p)
	}
}

func TestChannelWithoutHistoryLeavesNothing(t *testing.T) {
	b := newBench(t)
	r := b.start(Append{Key: "a"}, "x")()
	if r.Seq != 0 || r.Logged || r.Err != nil || r.Epoch != "" || string(r.Payload) != "x" {
		t.Fatalf("%+v", r)
	}
	if b.log.Stats().Resident != 0 || b.log.journal.Groups() != 0 {
		t.Fatal("something was kept")
	}
}

func TestCacheChannelKeepsItsLastEvent(t *testing.T) {
	b := newBench(t)
	b.start(Append{Key: "with", Rule: standard, Cache: time.Minute, Origin: "1.2"}, "x")()
	b.start(Append{Key: "without", Cache: time.Minute}, "y")()
	want := func(key, payload string, seq uint64) {
		t.Helper()
		b.position(key)
		e, left, ok := b.log.Last(key)
		if !ok || string(e.Payload) != payload || e.Seq != seq || left <= 0 || left > time.Minute {
			t.Fatalf("last of %q: %+v %q %v %v", key, e, e.Payload, left, ok)
		}
		if p, _ := b.log.Head(key); !p.Cached {
			t.Fatalf("head of %q says nothing of it: %+v", key, p)
		}
	}
	check := func() {
		t.Helper()
		want("with", "x#1", 1)
		want("without", "y", 0)
	}
	check()
	b.crash("boot-1")
	t.Log("from the journal")
	check()
	b.restart()
	t.Log("from its head")
	check()
	b.clock.advance(time.Minute)
	if _, _, ok := b.log.Last("with"); ok {
		t.Fatal("it outlived its time")
	}
}

func TestIdempotencyKeyLetsOneEventPass(t *testing.T) {
	b := newBench(t)
	use := func(key, idem string, rule Rule) Result {
		return b.start(Append{Key: key, Rule: rule, IdemKey: []byte(idem)}, "x")()
	}
	first := use("a", "k", standard)
	if first.Seq != 1 || first.Duplicate {
		t.Fatalf("%+v", first)
	}
	use("off", "k", Rule{})
	wantDuplicate := func() {
		t.Helper()
		if r := use("a", "k", standard); !r.Duplicate || r.Seq != 1 || r.Epoch != first.Epoch || r.Payload != nil {
			t.Fatalf("%+v", r)
		}
		if r := use("off", "k", Rule{}); !r.Duplicate || r.Seq != 0 {
			t.Fatalf("without history: %+v", r)
		}
	}
	wantDuplicate()
	if r := use("b", "k", standard); r.Duplicate {
		t.Fatal("another channel's key counted")
	}
	b.crash("boot-1")
	wantDuplicate()
	b.restart()
	wantDuplicate()
	b.clock.advance(b.cfg.IdempotencyAge + time.Second)
	if r := use("a", "k", standard); r.Duplicate || r.Seq != 2 {
		t.Fatalf("after its time: %+v", r)
	}

	t.Log("two of one group")
	one := Append{Key: "g", Rule: standard, IdemKey: []byte("k")}
	results := make(chan Result, 2)
	one.Item = &text{body: "x", done: func(r Result) { results <- r }}
	if err := b.log.Append([]Append{one, one}); err != nil {
		t.Fatal(err)
	}
	if r := <-results; r.Duplicate {
		t.Fatalf("%+v", r)
	}
	if r := <-results; !r.Duplicate || r.Seq != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestAnswersAreRemembered(t *testing.T) {
	b := newBench(t)
	sum := [32]byte{1, 2, 3}
	if err := b.log.Answer([]byte("app/k"), sum, 200, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	want := func() {
		t.Helper()
		got, status, body, ok, err := b.log.Answered([]byte("app/k"))
		if !ok || err != nil || got != sum || status != 200 || string(body) != `{}` {
			t.Fatalf("%v %d %q %v %v", got, status, body, ok, err)
		}
		if _, _, _, ok, _ := b.log.Answered([]byte("app/other")); ok {
			t.Fatal("an answer to nothing")
		}
	}
	want()
	b.crash("boot-1")
	want()
	b.restart()
	want()
	b.clock.advance(b.cfg.IdempotencyAge + time.Second)
	if _, _, _, ok, _ := b.log.Answered([]byte("app/k")); ok {
		t.Fatal("it outlived its time")
	}
}

func TestAppendIsBounded(t *testing.T) {
	b := newBench(t, func(c *Config) { c.QueueEvents = 4; c.DurableWaiting = 64 })
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release() // before the log is closed, which waits for it
	entered := make(chan struct{})
	item := &text{body: "x", done: func(Result) { close(entered); <-hold }}
	if err := b.log.Append([]Append{{Key: "a", Rule: standard, Item: item}}); err != nil {
		t.Fatal(err)
	}
	<-entered
	quiet := &text{body: "y", done: func(Result) {}}
	// The same shard: its sequencer is held.
	e := Append{Key: "a", Rule: standard, Item: quiet}
	if err := b.log.Append([]Append{e, e, e, e}); err != nil {
		t.Fatal(err)
	}
	if err := b.log.Append([]Append{e}); !errors.Is(err, ErrBusy) {
		t.Fatalf("the fifth: %v", err)
	}
	e.Durable = true
	if err := b.log.Append(make65(e)); !errors.Is(err, ErrDurableWaiting) {
		t.Fatalf("65 durable: %v", err)
	}
	release()
	for _, bad := range []Append{
		{Key: "", Item: quiet}, {Key: "a\x00b", Item: quiet}, {Key: strings.Repeat("k", 513), Item: quiet},
		{Key: "a", Origin: strings.Repeat("o", 49), Item: quiet}, {Key: "a", IdemKey: make([]byte, 257), Item: quiet}, {Key: "a"},
	} {
		if err := b.log.Append([]Append{bad}); !errors.Is(err, ErrBadAppend) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	b.close()
	b.log = nil
}

func make65(e Append) []Append {
	events := make([]Append, 65)
	for i := range events {
		events[i] = e
	}
	return events
}
