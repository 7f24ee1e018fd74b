package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/router/redisbroker/redistest"
)

const news = "app\x1fnews"

// start is a text as events have it: a message up to its number.
func start(n int) string { return fmt.Sprintf(`{"event":"e","channel":"news","data":"%d"`, n) }

func starts(from, to int) (out []string) {
	for n := from; n <= to; n++ {
		out = append(out, start(n))
	}
	return out
}

func TestRecover(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	b.rule.Events, a.rule.Events = 100, 100
	var at router.LogResult
	for n := 1; n <= 150; n++ {
		at = a.must(news, start(n))
	}
	b.subscribe(news)
	for _, c := range []struct {
		epoch string
		from  uint64
		most  int
		want  string
	}{
		{at.Epoch, 150, 1000, ""},
		{at.Epoch, 149, 1000, ""},
		{at.Epoch, 50, 1000, ""},
		{at.Epoch, 49, 1000, router.ReasonExpired},
		{at.Epoch, 100, 49, router.ReasonTooMany},
		{at.Epoch, 151, 1000, router.ReasonAhead},
		{"otherepoch12", 100, 1000, router.ReasonEpoch},
	} {
		if head, reason := b.Recover(news, b.rule, c.epoch, c.from, c.most); reason != c.want || head.Seq != 150 {
			t.Errorf("from %s:%d, at most %d: %q at %+v, want %q", c.epoch, c.from, c.most, reason, head, c.want)
		}
	}
	k := b.Hot(news, 51)
	if k == nil {
		t.Fatal("what was just read is not in memory")
	}
	first, last := k.Span()
	if want := router.AppendStored(nil, []byte(start(51)), 51); string(k.Frames(51, 51)) != string(want) || first != 51 || last != 64 {
		t.Errorf("%d to %d: %q", first, last, k.Frames(51, 51))
	}
	old := b.rule
	old.Age = time.Nanosecond
	if _, reason := b.Recover(news, old, at.Epoch, 149, 1000); reason != router.ReasonExpired {
		t.Errorf("too old: %q", reason)
	}
	small := b.rule
	small.Bytes = 10
	if _, reason := b.Recover(news, small, at.Epoch, 149, 1000); reason != router.ReasonExpired {
		t.Errorf("too large: %q", reason)
	}
}

func TestStreamKeepsSoManyBytes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.rule.Bytes = 20_000
	for range 200 {
		a.must(news, `{"event":"e","data":"`+strings.Repeat("x", 1000)+`"`)
	}
	a.subscribe(news)
	entries, err := client(t, s).Do(context.Background(), client(t, s).B().Xrange().Key(a.keys.of(news)+suffixStream).Start("-").End("+").Build()).AsXRange()
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, e := range entries {
		_, sealed, _ := splitHead(e.FieldValues["b"])
		bytes += len(sealed)
	}
	if bytes > 20_000 || bytes < 18_000 || entries[len(entries)-1].ID != "200-0" {
		t.Errorf("%d bytes in %d entries up to %s, limit 20,000", bytes, len(entries), entries[len(entries)-1].ID)
	}
}

// TestRestartWithData: a restart is a new epoch, and what the node missed before it comes
// first.
func TestRestartWithData(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	before := a.subscribe(news)
	a.must(news, start(1))
	wait(t, "the first event", func() bool { return len(a.received(news)) == 1 })
	s.Kill()
	wait(t, "the loss is seen", func() bool { return !a.Up() })
	if res := a.publish(news, nil, start(99))[0]; !errors.Is(res.Err, router.ErrBrokerUnavailable) {
		t.Errorf("published without Redis: %+v", res)
	}
	wait(t, "nobody listens, which is known", func() bool {
		res := a.publish(news, nil, start(99))[0]
		return errors.Is(res.Err, router.ErrBrokerUnavailable) && !errors.Is(res.Err, router.ErrUnanswered)
	})
	if _, err := a.Load("app\x1fother"); !errors.Is(err, router.ErrBrokerUnavailable) {
		t.Errorf("followed without Redis: %v", err)
	}
	s.Run()
	wait(t, "the connection", a.Up)
	wait(t, "the new epoch", func() bool { return len(a.stood(news)) == 2 })
	at := a.stood(news)[1]
	if at.Epoch == before.Epoch || at.Seq != 1 || at.Start != 1 {
		t.Errorf("%+v after %+v", at, before)
	}
	a.eventually(news, start(2))
	wait(t, "the second event", func() bool { return len(a.received(news)) == 2 })
	if e := a.received(news)[1]; e.Epoch != at.Epoch || e.Seq != 2 {
		t.Errorf("%+v", e)
	}
	if _, reason := a.Recover(news, a.rule, before.Epoch, 1, 1000); reason != router.ReasonEpoch {
		t.Errorf("recovered over a restart: %q", reason)
	}

	t.Log("what is kept of before is still to be read, page by page")
	var seqs []uint64
	page := func(epoch string, from uint64, all bool) {
		if _, oldest, reason := a.History(news, a.rule, epoch, from, all, 1, func(e router.LogEvent) bool {
			seqs = append(seqs, e.Seq)
			return true
		}); reason != "" || oldest != 1 {
			t.Errorf("behind %d: %q, oldest %d", from, reason, oldest)
		}
	}
	page("", 0, true)
	page(at.Epoch, 1, false)
	if !slices.Equal(seqs, []uint64{1, 2}) {
		t.Errorf("%v", seqs)
	}
	if _, reason := a.Recover(news, a.rule, at.Epoch, 0, 1000); reason != router.ReasonEpoch {
		t.Errorf("recovered from before the epoch: %q", reason)
	}
}

func TestRestartEmpty(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	before := a.subscribe(news)
	for n := 1; n <= 5; n++ {
		a.must(news, start(n))
	}
	wait(t, "the events", func() bool { return len(a.received(news)) == 5 })
	s.Kill()
	wait(t, "the loss is seen", func() bool { return !a.Up() })
	s.Forget()
	s.Run()
	wait(t, "the new epoch", func() bool { return len(a.stood(news)) == 2 })
	if at := a.stood(news)[1]; at.Epoch == before.Epoch || at.Seq != 0 {
		t.Errorf("%+v", at)
	}
	if res := a.eventually(news, start(6)); res.Seq != 1 {
		t.Errorf("%+v", res)
	}
	wait(t, "the event", func() bool { return len(a.received(news)) == 6 })
}

// TestMissedIsFilled: a node whose connection was cut gets what was published meanwhile,
// in order, before anything new.
func TestMissedIsFilled(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	a.subscribe(news)
	b.must(news, start(1))
	wait(t, "the first event", func() bool { return len(a.received(news)) == 1 })
	for round := range 5 {
		s.Do("CLIENT", "KILL", "TYPE", "pubsub")
		for n := range 100 {
			b.must(news, start(2+100*round+n))
		}
	}
	wait(t, "all events", func() bool { return len(a.received(news)) == 501 })
	if got := a.texts(news); !slices.Equal(got, starts(1, 501)) {
		t.Errorf("%q", got)
	}
}

// TestLostInTheMiddle: an event whose publication does not come shows as a gap in the
// next one.
func TestLostInTheMiddle(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	a.must(news, start(1))
	a.withoutPublication(s, start(2))
	a.must(news, start(3))
	wait(t, "all three", func() bool { return len(a.received(news)) == 3 })
	if got := a.texts(news); !slices.Equal(got, starts(1, 3)) {
		t.Errorf("%q", got)
	}
}

// TestLostAtTheEnd: that the last event did not come only the head can tell.
func TestLostAtTheEnd(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	a.must(news, start(1))
	a.withoutPublication(s, start(2))
	a.compare()
	wait(t, "the lost event", func() bool { return len(a.received(news)) == 2 })
	a.must(news, start(3))
	wait(t, "the next event", func() bool { return len(a.received(news)) == 3 })
	if got := a.texts(news); !slices.Equal(got, starts(1, 3)) {
		t.Errorf("%q", got)
	}
}

// TestRecoverWaitsForTheFeed: a client that comes from another node may know more than
// has come to this one.
func TestRecoverWaitsForTheFeed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	a.must(news, start(1))
	res := a.withoutPublication(s, start(2))
	if at, reason := a.Recover(news, a.rule, res.Epoch, 2, 1000); reason != "" || at.Seq != 2 {
		t.Errorf("%+v %q", at, reason)
	}
	if at, _ := a.Head(news); at.Seq != 2 {
		t.Errorf("the node stands at %+v when the client may join", at)
	}
}

// withoutPublication publishes as the script does, to a channel that nobody hears.
func (n *node) withoutPublication(s *redistest.Server, text string) router.LogResult {
	n.t.Helper()
	it := item{text: text}
	g := &group{news, []*router.LogAppend{{Key: news, Rule: n.rule, Item: &it}}}
	c := n.publishCall(g)
	c.args[8] = "nobody"
	g.done(n.Broker, n.eval(context.Background(), client(n.t, s), publishScript, []call{c})[0])
	if it.res.Err != nil {
		n.t.Fatal(it.res.Err)
	}
	return it.res
}

// TestTrimmedUnderTheNode: what cannot be had any more is said, and never a silent hole.
func TestTrimmedUnderTheNode(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	first := a.must(news, start(1))
	a.withoutPublication(s, start(2))
	a.withoutPublication(s, start(3))
	s.Do("XTRIM", a.keys.of(news)+suffixStream, "MINID", "3")
	a.must(news, start(4))
	wait(t, "what there is", func() bool { return len(a.received(news)) == 3 })
	got := a.received(news)
	if got[1].Seq != 3 || !got[1].Lost || got[2].Seq != 4 || got[2].Lost {
		t.Errorf("%+v", got)
	}
	if _, reason := a.Recover(news, a.rule, first.Epoch, 1, 1000); reason != router.ReasonExpired {
		t.Errorf("%q", reason)
	}
	s.Do("XDEL", a.keys.of(news)+suffixStream, "4-0")
	a.blocks = newBlockCache(1 << 20)
	if _, reason := a.Recover(news, a.rule, first.Epoch, 2, 1000); reason != router.ReasonUnavailable {
		t.Errorf("a hole: %q", reason)
	}
}

// TestStreamWithoutHead: somebody removed one of the two.
func TestStreamWithoutHead(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	before := a.must(news, start(1))
	a.must(news, start(2))
	s.Do("DEL", a.keys.of(news)+suffixHead)
	if res := a.must(news, start(3)); res.Seq != 1 || res.Epoch == before.Epoch {
		t.Errorf("%+v after %+v", res, before)
	}
	s.Do("HSET", a.keys.of(news)+suffixHead, "q", "0") // as a head of before would be
	res := a.must(news, start(4))
	if res.Err != nil || res.Epoch == before.Epoch {
		t.Errorf("%+v", res)
	}
	if _, reason := a.Recover(news, a.rule, res.Epoch, res.Seq-1, 1000); reason != "" {
		t.Errorf("%q", reason)
	}
}

func TestForgedIsRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	other := testConfig(s)
	other.Keys.Shared = []byte(strings.Repeat("x", 32))
	join(t, other).must(news, start(1))
	s.Do("PUBLISH", a.keys.of(news), "rubbish")
	s.Do("PUBLISH", a.keys.of(news), "2:0:abcdefgh1234:rubbish")
	wait(t, "three refusals", func() bool { return a.stats.refused.Load() >= 3 })
	if got := a.received(news); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSilentRedisIsGivenUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	a.must(news, start(1))
	s.Signal(syscall.SIGSTOP)
	wait(t, "the silence is seen", func() bool { return !a.Up() })
	began := time.Now()
	if res := a.publish(news, nil, start(9))[0]; !errors.Is(res.Err, router.ErrUnanswered) {
		t.Errorf("%+v", res)
	}
	if d := time.Since(began); d > 4*time.Second {
		t.Errorf("a publish waited %s, redis.publish_timeout is 2s", d)
	}
	s.Signal(syscall.SIGCONT)
	wait(t, "the connection", a.Up)
	a.eventually(news, start(2))
	wait(t, "the event", func() bool {
		got := a.received(news)
		return len(got) > 0 && string(got[len(got)-1].Text) == start(2)
	})
	a.texts(news) // the one that was answered 503 may have come: then in its place
}

func TestUnfitRedisIsRefused(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	_, err := Open(t.Context(), testConfig(s), slog.New(slog.DiscardHandler))
	if !errors.Is(err, ErrEviction) || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("%v", err)
	}
}

// TestRedisTakesNothing: it serves, and refuses writes. Nobody gets the event, so the
// answer says that nothing was delivered, and what is there already stays readable.
func TestRedisTakesNothing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	at := a.subscribe(news)
	for n := 1; n <= 3; n++ {
		a.must(news, start(n))
	}
	s.Do("CONFIG", "SET", "maxmemory", "1mb")
	for _, res := range a.publish(news, nil, start(8), start(9)) {
		if !errors.Is(res.Err, router.ErrBrokerUnavailable) || errors.Is(res.Err, router.ErrUnanswered) {
			t.Errorf("%v", res.Err)
		}
	}
	if _, reason := a.Recover(news, a.rule, at.Epoch, 1, 1000); reason != "" {
		t.Errorf("%q", reason)
	}
	s.Do("CONFIG", "SET", "maxmemory", "0")
	a.must(news, start(4))
	wait(t, "the event", func() bool { return len(a.received(news)) == 4 })
	if got := a.texts(news); !slices.Equal(got, starts(1, 4)) {
		t.Errorf("%q", got)
	}
}

// TestFullRedisPublishesNothing: an event without a number is published without being
// written, but not in front of one that has to be.
func TestFullRedisPublishesNothing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.rule = router.Rule{}
	a.subscribe(news)
	s.Do("CONFIG", "SET", "maxmemory", "1mb")
	first := true
	for _, res := range a.publish(news, func(e *router.LogAppend) {
		if !first {
			e.IdempotencyKey = []byte("key")
		}
		first = false
	}, start(1), start(2)) {
		if !errors.Is(res.Err, router.ErrBrokerUnavailable) || errors.Is(res.Err, router.ErrUnanswered) {
			t.Errorf("%v", res.Err)
		}
	}
	a.must(news, start(3)) // it needs no memory
	wait(t, "the third", func() bool { return len(a.received(news)) > 0 })
	if got := a.texts(news); !slices.Equal(got, []string{start(3)}) {
		t.Errorf("%q", got)
	}
}

// TestACL: what the documents call enough is.
func TestACL(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rules, _ := strings.Cut(string(text), "An ACL that is enough: `")
	rules, _, ok := strings.Cut(rules, "`")
	if !ok {
		t.Fatal("docs/scaling.md names no ACL")
	}
	s := redistest.Start(t)
	s.Do(append([]string{"ACL", "SETUSER", "node", "on", ">secret"}, strings.Fields(rules)...)...)
	conf := testConfig(s)
	conf.URL, conf.Prefix = "redis://node:secret@"+s.Addr(), "holdfast:"
	a, b := join(t, conf), join(t, conf)
	at := a.subscribe("app\x1fcache-news")
	keyed := func(e *router.LogAppend) { e.IdempotencyKey, e.Cache = []byte("k"), time.Minute }
	for n := 1; n <= 3; n++ {
		if res := b.publish("app\x1fcache-news", keyed, start(n))[0]; res.Err != nil || res.Duplicate != (n > 1) {
			t.Fatalf("%+v", res)
		}
	}
	wait(t, "the event", func() bool { return len(a.received("app\x1fcache-news")) == 1 })
	if _, reason := a.Recover("app\x1fcache-news", a.rule, at.Epoch, 0, 10); reason != "" {
		t.Errorf("recover: %q", reason)
	}
	if _, from := a.Rewind("app\x1fcache-news", a.rule, 1, 0); from != 0 {
		t.Errorf("rewind from %d", from)
	}
	if _, oldest, reason := a.History("app\x1fcache-news", a.rule, "", 0, true, 10, func(router.LogEvent) bool { return true }); oldest != 1 || reason != "" {
		t.Errorf("history: %d %q", oldest, reason)
	}
	if err := a.Answer([]byte("id"), [32]byte{}, 200, nil); err != nil {
		t.Error(err)
	}
	if _, _, _, found, err := b.Answered([]byte("id")); !found || err != nil {
		t.Error(err)
	}
	a.subscribe(room)
	a.enter(room, "1")
	b.enter(room, "2")
	b.Leave(room, "2")
	wait(t, "one came and went", func() bool { return slices.Equal(a.present(room), []string{"+1", "+2", "-2"}) })
	wait(t, "the answers of both", func() bool {
		answers, err := a.Ask([]byte("who?"))
		return err == nil && len(answers) == 2
	})
	a.compare()
	a.forget(time.Now())
	b.kill()
	wait(t, "it is removed", func() bool {
		answers, err := a.Ask([]byte("who?"))
		return err == nil && len(answers) == 1
	})
}

func TestUnfollowedAreGivenUp(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := join(t, testConfig(s))
	a.subscribe(news)
	a.sweep(time.Now().Add(linger + time.Second)) // it has subscribers
	a.Unfollow(news)
	a.sweep(time.Now())
	if _, resident := a.Head(news); !resident {
		t.Fatal("given up at once: a page that is loaded anew comes back soon")
	}
	a.sweep(time.Now().Add(linger + time.Second))
	if _, resident := a.Head(news); resident {
		t.Fatal("not given up")
	}
	wait(t, "nobody is subscribed", func() bool {
		got, err := client(t, s).Do(context.Background(), client(t, s).B().PubsubNumsub().Channel(a.keys.of(news)).Build()).ToArray()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := got[1].AsInt64()
		return n == 0
	})
	a.subscribe(news)
	a.must(news, start(1))
	wait(t, "the event", func() bool { return len(a.received(news)) == 1 })
}

func TestDurableWaitsForReplicas(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	conf := testConfig(s)
	conf.PublishTimeout = 500 * time.Millisecond
	durable := func(e *router.LogAppend) { e.Durable = true }
	none := join(t, conf)
	if err := none.Append([]router.LogAppend{{Key: news, Rule: none.rule, Durable: true, Item: &item{text: start(1)}}}); !errors.Is(err, router.ErrLogUnavailable) {
		t.Errorf("without redis.durable: %v", err)
	}
	conf.Replicas = 1
	a := join(t, conf)
	if res := a.publish(news, durable, start(1))[0]; !errors.Is(res.Err, router.ErrUnanswered) {
		t.Errorf("without a replica: %+v", res)
	}
	replica := redistest.Start(t)
	replica.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(s.Port))
	wait(t, "the replica follows", func() bool {
		text, err := client(t, replica).Do(context.Background(), client(t, replica).B().Info().Section("replication").Build()).ToString()
		return err == nil && infoField(text, "master_link_status") == "up"
	})
	conf.PublishTimeout = 10 * time.Second
	if res := join(t, conf).publish(news, durable, start(2))[0]; res.Err != nil || res.Seq != 2 {
		t.Errorf("with a replica: %+v", res)
	}
}

// TestManyChannels: a node that comes back asks for all of its channels.
func TestManyChannels(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a, b := join(t, testConfig(s)), join(t, testConfig(s))
	const n = 3000
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { a.subscribe(fmt.Sprintf("app\x1fc%d", i)) })
	}
	all.Wait()
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	for i := range n {
		b.must(fmt.Sprintf("app\x1fc%d", i), start(i))
	}
	for i := range n {
		wait(t, "one event on each", func() bool { return len(a.received(fmt.Sprintf("app\x1fc%d", i))) == 1 })
	}
}
