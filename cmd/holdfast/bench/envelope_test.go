package bench

import (
	"encoding/json"
	"testing"
)

func TestEnvelope(t *testing.T) {
	for name, c := range map[string]struct {
		in                   string
		event, channel, data string
		seq, head            uint64
		cached, text         bool
	}{
		"holdfast":      {`{"event":"bench","channel":"a-1","data":"xyz","seq":42}`, "bench", "a-1", "xyz", 42, 0, false, true},
		"another order": {`{"event":"bench","data":"xyz","channel":"a-1"}`, "bench", "a-1", "xyz", 0, 0, false, true},
		"blanks":        {" {\n\t\"event\" : \"bench\" , \"seq\" : 7 }", "bench", "", "", 7, 0, false, false},
		"escapes":       {`{"data":"{\"socket_id\":\"1.2\",\\","event":"x"}`, "x", "", `{\"socket_id\":\"1.2\",\\`, 0, 0, false, true},
		"an object":     {`{"data":{"code":4001,"a":["]","}"]},"event":"pusher:error"}`, "pusher:error", "", `{"code":4001,"a":["]","}"]}`, 0, 0, false, false},
		"a position":    {`{"event":"s","channel":"a","data":"{}","position":{"epoch":"k3f9","seq":41}}`, "s", "a", "{}", 0, 41, false, true},
		"cached":        {`{"event":"bench","channel":"cache-a","data":"9","seq":41,"cached":true}`, "bench", "cache-a", "9", 41, 0, true, true},
		"the last wins": {`{"event":"a","event":"b"}`, "b", "", "", 0, 0, false, false},
		"empty":         {`{}`, "", "", "", 0, 0, false, false},
		"null":          {`{"data":null,"event":"x"}`, "x", "", "null", 0, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			var e envelope
			if !e.scan([]byte(c.in)) {
				t.Fatal("refused")
			}
			if string(e.event) != c.event || string(e.channel) != c.channel || string(e.data) != c.data ||
				e.seq != c.seq || e.headSeq() != c.head || e.cached != c.cached || e.dataIsText != c.text {
				t.Errorf("%+v: event %q, channel %q, data %q, head %d", e, e.event, e.channel, e.data, e.headSeq())
			}
		})
	}
	for _, bad := range []string{"", "[]", "{", `{"event"`, `{"event":`, `{"event":"x`, `{"event":"x"`, `{"event":"x",`, `{x:1}`, `{"a":[1}`, `{"a" "b"}`, `{"a":1 "b":2}`} {
		if new(envelope).scan([]byte(bad)) {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// FuzzEnvelope: every valid JSON object is understood as the standard library
// understands it, and nothing that comes makes the scanner fail.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"event":"bench","channel":"a","data":"x","seq":42}`, `{"data":{"a":["]","\""]},"event":"e"}`, `{"event":"a\"b"}`, `{}`, `{"a":1}`,
		`{"position":{"seq":12},"cached":true}`, "{\"event\":\"\\\\\"}", `{"data":"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var e envelope
		ok := e.scan(p)
		_ = e.headSeq()
		var members map[string]json.RawMessage
		if json.Unmarshal(p, &members) != nil || members == nil {
			return
		}
		if !ok {
			t.Fatalf("%q was refused", p)
		}
		for name, got := range map[string][]byte{"event": e.event, "channel": e.channel} {
			want := members[name]
			if len(want) > 1 && want[0] == '"' {
				want = want[1 : len(want)-1]
			}
			// A name with escapes is another spelling that the scanner need not know.
			if _, spelt := members[name]; spelt && got != nil && string(got) != string(want) {
				t.Fatalf("%s of %q: %q, want %q", name, p, got, want)
			}
		}
	})
}
