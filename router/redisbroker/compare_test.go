package redisbroker

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// calls is how often a server has run a command.
func calls(s *redistest.Server, command string) string {
	_, n, _ := strings.Cut(s.Text("INFO", "commandstats"), "cmdstat_"+command+":calls=")
	n, _, _ = strings.Cut(n, ",")
	return n
}

// TestCompareOnlyReads: as long as nothing lacks, nothing is written and no channel is read
// back; head.lua would set the time at which a head ends.
func TestCompareOnlyReads(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	for i := range 2 * subscribeMost {
		a.subscribe(fmt.Sprint("app\x1fc", i))
	}
	a.must("app\x1fc1", start(1))
	wait(t, "the event", func() bool { return len(a.received("app\x1fc1")) == 1 })
	before := calls(s, "pexpire")
	a.compare()
	if now := calls(s, "pexpire"); now != before || before == "" || a.stats.behind.Load() > 0 {
		t.Errorf("PEXPIRE was called %q times, and %q before; %d channels were behind", now, before, a.stats.behind.Load())
	}
}

// TestCompareSeesAnotherHead: one that an earlier life of the server wrote, or none.
func TestCompareSeesAnotherHead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	wait(t, "the server is known", func() bool {
		a.Broker.mu.Lock()
		defer a.Broker.mu.Unlock()
		return a.lanes[""].replid != ""
	})
	head := a.keys.of(news) + suffixHead
	for i, change := range [][]string{{"HSET", head, "r", strings.Repeat("0", 40)}, {"DEL", head}} {
		before, _ := a.Head(news)
		s.Do(change...)
		a.compare()
		wait(t, "another epoch", func() bool { return len(a.stood(news)) == 2+i })
		if at, _ := a.Head(news); at.Epoch == before.Epoch {
			t.Errorf("after %v the epoch is that of before", change)
		}
	}
}

// TestFollowedHeadsLive: the position of a channel that is followed does not end, however
// long nothing is published.
func TestFollowedHeadsLive(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	head := a.keys.of(news) + suffixHead
	left := func() time.Duration {
		ms, err := strconv.Atoi(strings.TrimPrefix(s.Text("PTTL", head), ":"))
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	}
	s.Do("PEXPIRE", head, "60000")
	a.compare()
	if left := left(); left > time.Minute {
		t.Fatalf("%s are left: every comparison writes to every channel", left)
	}
	a.Broker.mu.Lock()
	a.kept = a.kept.Add(-a.conf.HeadAge / 4)
	a.Broker.mu.Unlock()
	a.compare()
	if left := left(); left < a.conf.HeadAge/2 {
		t.Errorf("%s are left of %s", left, a.conf.HeadAge)
	}
}
