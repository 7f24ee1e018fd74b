package persist

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// For every position that there is, recovering and reading blocks gives exactly what
// came after it, or the reason that the rule has; wherever the events lie.
func TestEveryPositionRecoversExactly(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		fmt.Sscan(s, &seed)
	}
	t.Logf("HOLDFAST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	b := newBench(t, func(c *Config) { c.JournalBytes = 1 << 20; c.QueueBytes = 1 << 30 })

	type event struct {
		payload string
		atMS    int64
	}
	const channels = 4
	entries := sized(10_000, 1_000_000)
	all := make([][]event, channels)
	rules := make([]Rule, channels)
	for i := range rules {
		rules[i] = Rule{Events: 100 + rng.IntN(entries), Age: time.Duration(1+rng.IntN(3600)) * time.Second, Bytes: int64(10_000 + rng.IntN(entries*100)), Replay: true}
	}
	key := func(i int) string { return fmt.Sprintf("app/ch-%d", i) }
	for done := 0; done < entries; {
		ch, n := rng.IntN(channels), 1+rng.IntN(200)
		at := b.clock.ms.Load()
		for range n {
			body := strings.Repeat("x", rng.IntN(160))
			if rng.IntN(500) == 0 {
				body = strings.Repeat("y", rng.IntN(100_000))
			}
			seq := len(all[ch]) + 1
			all[ch] = append(all[ch], event{fmt.Sprintf("%s-%d#%d", body, seq, seq), at})
		}
		results := make(chan Result, n)
		batch := make([]Append, n)
		for i := range batch {
			payload := all[ch][len(all[ch])-n+i].payload
			batch[i] = Append{Key: key(ch), Rule: rules[ch], Bytes: len(payload), Item: &text{
				body: payload[:strings.LastIndexByte(payload, '#')], done: func(r Result) { results <- r },
			}}
		}
		if err := b.log.Append(batch); err != nil {
			t.Fatal(err)
		}
		for range batch {
			if r := <-results; !r.Logged {
				t.Fatalf("%+v", r)
			}
		}
		done += n
		b.clock.advance(time.Duration(rng.IntN(2000)) * time.Millisecond)
		switch rng.IntN(60) {
		case 0:
			b.checkpoint()
		case 1:
			if !soak || rng.IntN(50) == 0 {
				b.crash("boot-1")
			}
		case 2:
			if !soak || rng.IntN(50) == 0 {
				b.restart()
			}
		}
	}
	now := b.clock.ms.Load()
	step := sized(1, 97)
	for ch, events := range all {
		head := b.position(key(ch))
		if head.Seq != uint64(len(events)) {
			t.Fatalf("%q: head %+v, want %d", key(ch), head, len(events))
		}
		bytes := int64(0)
		for from := len(events); from >= 0; from-- {
			// bytes of everything behind from
			if from < len(events) {
				bytes += int64(len(events[from].payload))
			}
			if from%step != 0 && from < len(events)-1000 {
				continue
			}
			want := ReasonOK
			if from < len(events) && (len(events)-from > rules[ch].Events || bytes > rules[ch].Bytes ||
				now-events[from].atMS > rules[ch].Age.Milliseconds()) {
				want = ReasonExpired
			}
			p, reason := b.log.Recover(key(ch), rules[ch], head.Epoch, uint64(from), entries)
			if reason != want {
				t.Fatalf("%q from %d of %d: %q, want %q", key(ch), from, len(events), reason, want)
			}
			if reason != ReasonOK {
				continue
			}
			for at := uint64(from) + 1; at <= p.Seq; {
				block, err := b.log.Block(key(ch), at)
				if err != nil {
					t.Fatalf("%q from %d: seq %d: %v", key(ch), from, at, err)
				}
				for ; at <= block.Last; at++ {
					if string(block.Payload(at)) != events[at-1].payload || block.TimeMS(at) != events[at-1].atMS {
						t.Fatalf("%q from %d: seq %d is %.60q", key(ch), from, at, block.Payload(at))
					}
				}
				if from%16 != 0 {
					break // the rest is read for other positions
				}
			}
		}
	}
}
