package api

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const batchPath = "/apps/3/batch_events"

// keyedEvent is a body with a key and info=position.
func keyedEvent(key string, channels ...string) string {
	return `{"name":"x","data":"{}","channels":["` + strings.Join(channels, `","`) + `"],"info":"position","idempotency_key":"` + key + `"}`
}

// TestKeyAnswersOnce: the second request gets what the first got, byte for byte, and
// nothing is published, however the key is given.
func TestKeyAnswersOnce(t *testing.T) {
	for _, c := range []struct {
		name, path, body, header, want string
		published                      []string
	}{
		{"in the body", eventsPath, keyedEvent("k1", "a", "b"), "", `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}},"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`, []string{"a", "b"}},
		{"as a header", eventsPath, `{"name":"x","data":"{}","channel":"a","info":"position"}`, "k1", `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`, []string{"a"}},
		{"both, the same", eventsPath, keyedEvent("k1", "a"), "k1", `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`, []string{"a"}},
		{"without info", eventsPath, `{"name":"x","data":"{}","channel":"a","idempotency_key":"k1"}`, "", `{}`, []string{"a"}},
		{"of a batch", batchPath, `{"idempotency_key":"k1","batch":[{"name":"x","data":"","channel":"a","info":"position"},{"name":"y","data":"","channel":"b"}]}`, "", `{"batch":[{"position":{"epoch":"k3f9a7c2","seq":1}},{}]}`, []string{"a", "b"}},
		{"behind the events of a batch", batchPath, `{"batch":[{"name":"x","data":"","channel":"a"}],"idempotency_key":"k1"}`, "", `{}`, []string{"a"}},
		{"of a batch as a header", batchPath, `{"batch":[{"name":"x","data":"","channel":"a"}]}`, "k1", `{}`, []string{"a"}},
		{"of an empty batch", batchPath, `{"batch":[],"idempotency_key":"k1"}`, "", `{}`, nil},
		{"without history", eventsPath, keyedEvent("k1", "quiet-a"), "", `{"channels":{"quiet-a":{}}}`, []string{"quiet-a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keep(t)
			ask := func() reply {
				if c.header == "" {
					return k.post(c.path, c.body)
				}
				return k.postKeyed(c.path, c.body, c.header)
			}
			first := ask()
			first.want(t, 200, c.want)
			first.wantReplayed(t, false)
			k.wantPublished(c.published...)
			for range 3 {
				again := ask()
				again.want(t, 200, c.want)
				again.wantReplayed(t, true)
			}
			k.wantPublished()

			t.Log("after a restart, too")
			k.restart()
			again := ask()
			again.want(t, 200, c.want)
			again.wantReplayed(t, true)
			k.wantPublished()
		})
	}
}

// TestKeysAreApart: a key means something in its application and nowhere else, and
// another key is another request.
func TestKeysAreApart(t *testing.T) {
	k := keep(t)
	k.post(eventsPath, keyedEvent("k1", "a")).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	k.post(eventsPath, keyedEvent("k2", "a")).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":2}}}}`)
	k.post(eventsPath, event("tag", "1")).want(t, 200, `{}`)
	k.post(eventsPath, event("tag", "1")).want(t, 200, `{}`)
	k.wantPublished("a", "a", "a", "a")
	one, _ := k.router.AppByID(testApp)
	two, _ := k.router.AppByID(offApp)
	of := keyed{key: "k1"}
	if string(of.event(one, 0)) == string(of.event(two, 0)) {
		t.Error("two applications share the key of an event")
	}
}

// TestMismatch: a key belongs to one body and one path.
func TestMismatch(t *testing.T) {
	const refused = `{"error":"this idempotency key was used for another request: nothing was published; a key belongs to one body","code":"idempotency_mismatch","status":409}`
	k := keep(t)
	k.post(eventsPath, keyedEvent("k1", "a")).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	k.wantPublished("a")
	k.post(eventsPath, keyedEvent("k1", "b")).want(t, 409, refused)
	k.post(eventsPath, keyedEvent("k1", "a")+" ").want(t, 409, refused)
	k.postKeyed(eventsPath, event("tag", "1"), "k1").want(t, 409, refused)
	k.post(batchPath, `{"idempotency_key":"k1","batch":[]}`).want(t, 409, refused)
	k.restart()
	k.post(eventsPath, keyedEvent("k1", "b")).want(t, 409, refused)
	k.wantPublished()

	t.Log("the same bytes as a body of the other call are another request, too")
	both := `{"idempotency_key":"k2","name":"x","data":"","channel":"a","batch":[]}`
	k.post(batchPath, both).want(t, 200, `{}`)
	k.post(eventsPath, both).want(t, 409, refused)
	k.wantPublished()
}

// TestMismatchAfterACrash: the process ended behind the events and before the answer
// was stored. Another body is refused all the same; the same one is answered with the
// positions of what is there.
func TestMismatchAfterACrash(t *testing.T) {
	k := keep(t)
	k.log.set(func(l *memLog) { l.loseFinal = true })
	k.post(eventsPath, keyedEvent("k1", "a", "b")).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}},"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	k.wantPublished("a", "b")
	k.restart()
	k.fill("a", 3)
	if got := k.post(eventsPath, keyedEvent("k1", "a", "c")); got.status != 409 || !strings.Contains(got.body, `"idempotency_mismatch"`) {
		t.Errorf("another body: %d %s", got.status, got.body)
	}
	k.wantPublished()
	again := k.post(eventsPath, keyedEvent("k1", "a", "b"))
	again.want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}},"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	again.wantReplayed(t, false)
	k.wantPublished()
}

// TestRetryPublishesWhatLacks: after an error between the channels the same request
// reaches those that had it before no second time.
func TestRetryPublishesWhatLacks(t *testing.T) {
	t.Run("channels of an event", func(t *testing.T) {
		k := keep(t)
		k.log.set(func(l *memLog) { l.refuse = "b" })
		body := keyedEvent("k1", "a", "b", "c")
		if got := k.post(eventsPath, body); got.status != 503 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		k.wantPublished("a", "c")
		k.restart()
		k.log.set(func(l *memLog) { l.refuse = "" })
		k.fill("a", 2)
		k.post(eventsPath, body).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}},"b":{"position":{"epoch":"k3f9a7c2","seq":1}},"c":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
		k.wantPublished("b")
		k.post(eventsPath, body).wantReplayed(t, true)
		k.wantPublished()
	})
	t.Run("events of a batch, two of them for one channel", func(t *testing.T) {
		k := keep(t)
		k.log.set(func(l *memLog) { l.refuse = "b" })
		item := `{"name":"x","data":"","channel":"a","info":"position"}`
		body := `{"idempotency_key":"k1","batch":[` + item + `,` + item + `,{"name":"x","data":"","channel":"b","info":"position"},` + item + `]}`
		if got := k.post(batchPath, body); got.status != 503 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		k.wantPublished("a", "a", "a")
		k.restart()
		k.log.set(func(l *memLog) { l.refuse = "" })
		k.post(batchPath, body).want(t, 200, `{"batch":[{"position":{"epoch":"k3f9a7c2","seq":1}},{"position":{"epoch":"k3f9a7c2","seq":2}},{"position":{"epoch":"k3f9a7c2","seq":1}},{"position":{"epoch":"k3f9a7c2","seq":3}}]}`)
		k.wantPublished("b")
	})
	t.Run("without history", func(t *testing.T) {
		k := keep(t)
		k.log.set(func(l *memLog) { l.loseFinal = true })
		body := keyedEvent("k1", "quiet-a")
		k.post(eventsPath, body).want(t, 200, `{"channels":{"quiet-a":{}}}`)
		k.wantPublished("quiet-a")
		k.restart()
		k.post(eventsPath, body).want(t, 200, `{"channels":{"quiet-a":{}}}`)
		k.wantPublished()
	})
}

// TestRefusalsBindNoKey: what was refused before anything could be published leaves
// its key free for a better request.
func TestRefusalsBindNoKey(t *testing.T) {
	k := keep(t)
	for _, bad := range []string{
		`{"name":"x","data":"","channel":"a b","idempotency_key":"k1"}`,
		`{"name":"x","channel":"a","idempotency_key":"k1"}`,
		`{"name":"x","data":"` + strings.Repeat("d", 10241) + `","channel":"a","idempotency_key":"k1"}`,
	} {
		if got := k.post(eventsPath, bad); got.status != 400 && got.status != 413 {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
	k.post(eventsPath, keyedEvent("k1", "a")).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	k.server.Drain()
	if got := k.post(eventsPath, keyedEvent("k2", "a")); got.status != 503 || !strings.Contains(got.body, `"draining"`) {
		t.Errorf("draining: %d %s", got.status, got.body)
	}
	k.post(eventsPath, keyedEvent("k1", "a")).wantReplayed(t, true)
	k.restart()
	k.post(eventsPath, keyedEvent("k2", "b")).want(t, 200, `{"channels":{"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
}

// TestKeyWhileTheLogFails: reading decides, writing does not.
func TestKeyWhileTheLogFails(t *testing.T) {
	t.Run("it cannot tell whether the key was used", func(t *testing.T) {
		k := keep(t)
		k.log.set(func(l *memLog) { l.deaf = true })
		got := k.post(eventsPath, keyedEvent("k1", "a"))
		got.want(t, 503, `{"error":"the log cannot tell whether this idempotency key was used: nothing was published; try again in a second","code":"log_unavailable","status":503}`)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
		k.wantPublished()
	})
	t.Run("it cannot store answers", func(t *testing.T) {
		k := keep(t)
		k.log.set(func(l *memLog) { l.mute = true })
		for range 2 {
			k.post(eventsPath, keyedEvent("k1", "a")).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
		}
		k.wantPublished("a")
	})
	t.Run("it cannot store anything", func(t *testing.T) {
		k := keep(t)
		k.log.set(func(l *memLog) { l.full = true })
		for range 2 {
			k.post(eventsPath, keyedEvent("k1", "a")).want(t, 200, `{"channels":{"a":{}}}`)
		}
		k.wantPublished("a", "a")
	})
}

func TestBadKeys(t *testing.T) {
	const form = ` must be 1 to 128 visible ASCII characters, without blanks","code":"bad_key","status":400}`
	const two = `{"error":"two different idempotency keys are given: use one, as idempotency_key or as the header Idempotency-Key","code":"bad_key","status":400}`
	k := keep(t)
	for _, c := range []struct{ name, path, body, want string }{
		{"empty", eventsPath, event("idempotency_key", `""`), `{"error":"idempotency key \"\"` + form},
		{"a blank", eventsPath, event("idempotency_key", `"a b"`), `{"error":"idempotency key \"a b\"` + form},
		{"beyond ASCII", eventsPath, event("idempotency_key", `"é"`), `{"error":"idempotency key \"é\"` + form},
		{"DEL", eventsPath, event("idempotency_key", `"\u007f"`), `{"error":"idempotency key \"\\x7f\"` + form},
		{"too long", eventsPath, event("idempotency_key", `"`+strings.Repeat("k", 129)+`"`), `{"error":"idempotency key \"` + strings.Repeat("k", 64) + `\"…` + form},
		{"a number", eventsPath, event("idempotency_key", `7`), `{"error":"idempotency_key must be a JSON string, got a number","code":"bad_key","status":400}`},
		{"empty, of a batch", batchPath, `{"batch":[],"idempotency_key":""}`, `{"error":"idempotency key \"\"` + form},
		{"an object, of a batch", batchPath, `{"batch":[],"idempotency_key":{}}`, `{"error":"idempotency_key must be a JSON string, got an object","code":"bad_key","status":400}`},
		{"inside an item", batchPath, `{"batch":[{"name":"x","data":"","channel":"a","idempotency_key":"k"}]}`, `{"error":"batch[0]: idempotency_key stands at the top of a batch, not inside an event","code":"bad_key","status":400}`},
		{"inside an item, of any kind", batchPath, `{"batch":[{"name":"x","data":"","channel":"a","idempotency_key":7}]}`, `{"error":"batch[0]: idempotency_key stands at the top of a batch, not inside an event","code":"bad_key","status":400}`},
	} {
		t.Run(c.name, func(t *testing.T) { k.post(c.path, c.body).want(t, 400, c.want) })
	}
	t.Run("an empty header", func(t *testing.T) {
		k.postKeyed(eventsPath, event("tag", "1"), "").want(t, 400, `{"error":"idempotency key \"\"`+form)
	})
	t.Run("a header with a blank", func(t *testing.T) {
		k.postKeyed(eventsPath, event("tag", "1"), "a b").want(t, 400, `{"error":"idempotency key \"a b\"`+form)
	})
	t.Run("both and different", func(t *testing.T) {
		k.postKeyed(eventsPath, event("idempotency_key", `"k1"`), "k2").want(t, 400, two)
		k.postKeyed(batchPath, `{"batch":[],"idempotency_key":"k1"}`, "k2").want(t, 400, two)
	})
	t.Run("two headers", func(t *testing.T) {
		k.postKeyed(eventsPath, event("tag", "1"), "k1", "k2").want(t, 400, two)
	})
	k.wantPublished()
	t.Run("the longest, and every character", func(t *testing.T) {
		for _, key := range []string{strings.Repeat("k", 128), `!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_` + "`az{|}~"} {
			k.post(eventsPath, event("idempotency_key", `"`+key+`"`)).want(t, 200, `{}`)
		}
	})
	t.Run("null is absent", func(t *testing.T) {
		k.post(eventsPath, event("idempotency_key", `null`)).want(t, 200, `{}`)
		k.post(eventsPath, event("idempotency_key", `null`)).wantReplayed(t, false)
	})
}

// FuzzKey holds the rule for keys to the expression that it is documented as.
func FuzzKey(f *testing.F) {
	form := regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)
	for _, seed := range []string{"", "k", "a b", "\x20", "\x21", "\x7e", "\x7f", "é", "k\n", "\xff", strings.Repeat("k", 128), strings.Repeat("k", 129)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		// The expression's $ stands for the end of the text, nothing before it.
		if got := validKey(key); got != form.MatchString(key) {
			t.Fatalf("%q: %v", key, got)
		}
	})
}

// held is a keeping whose log holds the next appends back.
func held(t *testing.T) *keeping {
	k := keep(t)
	k.log.set(func(l *memLog) { l.gate, l.entered = make(chan struct{}), make(chan struct{}, 16) })
	return k
}

// release lets the appends go on.
func (k *keeping) release() {
	k.log.set(func(l *memLog) {
		close(l.gate)
		l.gate = nil
	})
}

// TestInProgress: while the first request runs, a second one with its key waits, and
// is refused when that takes too long. Other keys do not wait.
func TestInProgress(t *testing.T) {
	k := held(t)
	k.server.keyPatience = 20 * time.Millisecond
	body := keyedEvent("k1", "a")
	first := make(chan reply, 1)
	go func() { first <- k.post(eventsPath, body) }()
	<-k.log.entered
	began := time.Now()
	for _, again := range []string{body, keyedEvent("k1", "b")} {
		got := k.post(eventsPath, again)
		got.want(t, 409, `{"error":"a request with this idempotency key is being served: ask again in a second for its answer","code":"in_progress","status":409}`)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
		}
	}
	if waited := time.Since(began); waited < 40*time.Millisecond {
		t.Errorf("two requests waited %v together", waited)
	}
	other := make(chan reply, 1)
	go func() { other <- k.post(eventsPath, keyedEvent("k2", "b")) }()
	<-k.log.entered
	k.release()
	want := `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`
	(<-first).want(t, 200, want)
	(<-other).want(t, 200, `{"channels":{"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	again := k.post(eventsPath, body)
	again.want(t, 200, want)
	again.wantReplayed(t, true)
}

// TestPatience is the time that requests wait for another one with their key.
func TestPatience(t *testing.T) {
	if got := keep(t).server.keyPatience; got != 2*time.Second {
		t.Errorf("%v", got)
	}
}

// TestOneOfManyPublishes: of many requests with one key at the same time one
// publishes, and all get its answer.
func TestOneOfManyPublishes(t *testing.T) {
	const many = 24
	k := held(t)
	k.server.keyPatience = 20 * time.Second
	body := keyedEvent("k1", "a", "b")
	replies := make([]reply, many)
	var done sync.WaitGroup
	for i := range replies {
		done.Go(func() { replies[i] = k.post(eventsPath, body) })
	}
	<-k.log.entered
	k.release()
	done.Wait()
	replayed := 0
	for _, r := range replies {
		r.want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}},"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
		if r.header.Get("Idempotent-Replayed") != "" {
			replayed++
		}
	}
	if replayed != many-1 {
		t.Errorf("%d of %d answers were replayed", replayed, many)
	}
	k.wantPublished("a", "b")
	if n := len(k.server.underWay.keys); n != 0 {
		t.Errorf("%d keys are left under way", n)
	}
}

// TestWaiterGoesOnAfterAFailure: the first request failed; the one that waited for it
// publishes what lacks.
func TestWaiterGoesOnAfterAFailure(t *testing.T) {
	k := held(t)
	k.server.keyPatience = 20 * time.Second
	k.log.set(func(l *memLog) { l.refuse = "b" })
	body := keyedEvent("k1", "a", "b")
	first, second := make(chan reply, 1), make(chan reply, 1)
	go func() { first <- k.post(eventsPath, body) }()
	<-k.log.entered
	go func() { second <- k.post(eventsPath, body) }()
	gate := k.log.gate
	next := make(chan struct{})
	k.log.set(func(l *memLog) { l.gate = next })
	close(gate)
	if got := <-first; got.status != 503 {
		t.Fatalf("the first: %d %s", got.status, got.body)
	}
	<-k.log.entered
	k.log.set(func(l *memLog) { l.refuse = "" })
	close(next)
	(<-second).want(t, 200, `{"channels":{"a":{"position":{"epoch":"k3f9a7c2","seq":1}},"b":{"position":{"epoch":"k3f9a7c2","seq":1}}}}`)
	k.wantPublished("a", "b")
}
