package api

import "testing"

// TestAllocations is the budget of a publish call, signature check included. The
// race detector makes pools forget at random: raceAllocations is for what is made anew
// then, decoders and the scratch of signatures.
func TestAllocations(t *testing.T) {
	s := benchServer(t)
	request := func(path, body string) *looped {
		return &looped{request: []byte(signed("POST", path, "", body, testNow))}
	}
	for _, c := range []struct {
		what   string
		c      *looped
		calls  int // of ServeConn, for 1,000 requests
		budget float64
		of     string
	}{
		{"a publish", request(eventsPath, laravelEvent), 1, 3, "the target as a string, the event, its text"},
		{"a publish in a call of its own", request(eventsPath, laravelEvent), 1000, 5, "the conversation and fasthttp's mark of it more"},
		{"a batch of ten", request(batchPath, batchOf(10)), 1, 28, "target, batch, lists that grow, ten events and their texts"},
	} {
		const requests = 1000
		run := func() {
			for range c.calls {
				c.c.serve(t, s, requests/c.calls)
			}
		}
		run()
		if n := testing.AllocsPerRun(3, run) / requests; n > c.budget+0.5+raceAllocations {
			t.Errorf("%s allocates %.1f times, budget %v: %s", c.what, n, c.budget, c.of)
		}
	}
}
