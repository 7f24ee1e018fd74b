package redisbroker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

// TestSentinelFailover: the master dies with events that its replica never had, so their
// numbers are given a second time, to other events. That is another epoch, and nobody
// recovers over it.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s := redistest.StartSentinel(t)
	conf := testConfig(s.Master)
	conf.URL = s.URL()
	a, b := join(t, conf), join(t, conf)
	before := a.subscribe(news)
	b.subscribe(news)
	for n := 1; n <= 10; n++ {
		a.must(news, start(n))
	}
	wait(t, "the replica has them", func() bool { return strings.Contains(s.Replica.Text("HGET", a.keys.of(news)+suffixHead, "q"), "10") })
	s.Replica.Do("REPLICAOF", "127.0.0.1", "1") // it follows nobody any more
	for n := 11; n <= 15; n++ {
		a.must(news, start(n))
	}
	for _, n := range []*node{a, b} {
		wait(t, "what the replica does not have", func() bool { return len(n.received(news)) == 15 })
	}
	s.Master.Kill()
	var first router.LogResult
	wait(t, "a publish is taken by the new master", func() bool {
		first = b.publish(news, nil, `{"event":"after"`)[0]
		return first.Err == nil
	})
	if first.Epoch == before.Epoch || first.Seq > 15 {
		t.Errorf("%+v after %+v", first, before)
	}
	for _, n := range []*node{a, b} {
		wait(t, "the event of the new epoch", func() bool {
			return slices.ContainsFunc(n.received(news), func(e router.Received) bool { return e.Epoch == first.Epoch && e.Seq == first.Seq })
		})
		seen := map[string]string{}
		for _, e := range n.received(news) {
			place := fmt.Sprint(e.Epoch, ":", e.Seq)
			if other, ok := seen[place]; ok && other != string(e.Text) {
				t.Errorf("%s is both %s and %s", place, other, e.Text)
			}
			seen[place] = string(e.Text)
		}
	}
	if _, reason := a.Recover(news, a.rule, before.Epoch, 12, 1000); reason != router.ReasonEpoch {
		t.Errorf("recovered over a failover that lost events: %q", reason)
	}
	if _, reason := a.Recover(news, a.rule, first.Epoch, first.Seq-1, 1000); reason != "" {
		t.Errorf("%q", reason)
	}
}

// TestCluster: channels on all masters, presence, and a master that dies.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3)
	conf := testConfig(c.Servers[0])
	conf.URL = c.URL()
	a, b := join(t, conf), join(t, conf)
	const channels = 200
	key := func(i int) string { return fmt.Sprint("app\x1fc", i) }
	epochs := map[int]string{}
	for i := range channels {
		epochs[i] = a.subscribe(key(i)).Epoch
	}
	for i := range channels {
		b.must(key(i), start(1))
	}
	for i := range channels {
		wait(t, "an event on each channel", func() bool { return len(a.received(key(i))) == 1 })
	}
	a.enter(room, "1")
	b.enter(room, "2")
	wait(t, "both on both", func() bool { return len(a.there(room)) == 2 && len(b.there(room)) == 2 })
	if answers, err := a.Ask([]byte("who?")); err != nil || len(answers) != 2 {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	batch := make([]item, 20)
	appends := make([]router.LogAppend, len(batch))
	for i := range batch {
		batch[i].text = start(2)
		appends[i] = router.LogAppend{Key: key(i), Rule: a.rule, Item: &batch[i]}
	}
	if err := a.Append(appends); err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		if batch[i].res.Err != nil || batch[i].res.Seq != 2 {
			t.Errorf("%+v", batch[i].res)
		}
	}

	c.Masters()[0].Kill()
	for i := range channels {
		var err error
		wait(t, "a publish is taken on each channel", func() bool {
			if now := b.publish(key(i), nil, start(3))[0].Err; now == nil || err == nil || now.Error() != err.Error() {
				t.Log(key(i), now)
				err = now
			}
			return err == nil
		})
	}
	moved := 0
	for i := range channels {
		wait(t, "it comes on each channel", func() bool {
			got := a.texts(key(i))
			return len(got) > 0 && got[len(got)-1] == start(3)
		})
		got := a.received(key(i))
		if last := got[len(got)-1]; last.Epoch != epochs[i] {
			moved++
		}
	}
	if moved == 0 || moved == channels {
		t.Errorf("%d of %d channels have another epoch: those of the dead master must, the others must not", moved, channels)
	}
	wait(t, "the members are still there", func() bool { return slices.Equal(a.there(room), []string{"1", "2"}) })
}
