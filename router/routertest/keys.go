package routertest

import (
	"bytes"
	"testing"

	"github.com/holdfast-edge/holdfast/router"
)

var keySentences = []sentence{
	{"keys/the second event with a key is a duplicate of the first", duplicates},
	{"keys/without history as well", duplicatesWithoutHistory},
	{"keys/a key counts in its channel only", keyOfTheChannel},
	{"keys/of a batch that comes again only what is new has a place", partlyDuplicate},
	{"answers/every node remembers them", answers},
	{"answers/what was stored is answered, whoever asks", answersAsStored},
	{"keys/a key counts in the same batch", keyInOneBatch},
	{"keys/an event without a key is no duplicate beside one with a key", keyless},
}

// keyed is an event with an idempotency key.
func (n *Node) keyed(key, idempotency, text string) *event {
	e := n.event(key, text)
	e.IdempotencyKey = []byte(idempotency)
	return e
}

func wantDuplicate(t testing.TB, again, former *event) {
	t.Helper()
	if a, f := again.res, former.res; !a.Duplicate || f.Duplicate || a.Epoch != f.Epoch || a.Start != f.Start || a.Seq != f.Seq {
		t.Errorf("%s: %+v; the former event, %s, has %+v", again.text, a, former.text, f)
	}
}

func duplicates(t *testing.T, c *Cluster) {
	c.follow(news)
	first := c.first().keyed(news, "k", say("first"))
	c.first().must(first)
	between := c.first().publish(news, say("between"))[0]
	for range 2 {
		for _, n := range c.Nodes {
			again := n.keyed(news, "k", say("again"))
			if err := n.append(again); err != nil {
				t.Fatal(err)
			}
			wantDuplicate(t, again, first)
		}
	}
	newer := c.last().keyed(news, "another", say("newer"))
	c.last().must(newer)
	c.wantOut(news, inOrder(t, []*event{first, between, newer})...)
	c.last().wantMissed(news, standard, first.res.Epoch, 0, []*event{first, between, newer})
}

func duplicatesWithoutHistory(t *testing.T, c *Cluster) {
	c.setRule(news, router.Rule{})
	c.follow(news)
	first, again := c.first().keyed(news, "k", say("first")), c.last().keyed(news, "k", say("again"))
	c.first().must(first)
	if err := c.last().append(again); err != nil {
		t.Fatal(err)
	}
	wantDuplicate(t, again, first)
	c.wantOut(news, append([]*event{first}, c.first().publish(news, say("after"))...)...)
}

func keyOfTheChannel(t *testing.T, c *Cluster) {
	c.follow(news)
	c.follow(other)
	one, two := c.first().keyed(news, "k", say("one")), c.first().keyed(other, "k", say("two"))
	c.first().must(one, two)
	if one.res.Duplicate || two.res.Duplicate {
		t.Errorf("%+v %+v", one.res, two.res)
	}
	c.wantOut(news, one)
	c.wantOut(other, two)
}

// partlyDuplicate: a publisher that had no answer comes again, with one more event.
func partlyDuplicate(t *testing.T, c *Cluster) {
	c.follow(news)
	n := c.first()
	first := []*event{n.keyed(news, "1", say("one")), n.keyed(news, "2", say("two"))}
	n.must(first...)
	n = c.last()
	again := []*event{n.keyed(news, "1", say("one")), n.keyed(news, "3", say("three")), n.keyed(news, "2", say("two")), n.keyed(news, "4", say("four"))}
	if err := n.append(again...); err != nil {
		t.Fatal(err)
	}
	wantDuplicate(t, again[0], first[0])
	wantDuplicate(t, again[2], first[1])
	c.wantOut(news, inOrder(t, []*event{first[0], first[1], again[1], again[3]})...)
}

func answers(t *testing.T, c *Cluster) {
	for name, k := range map[string]struct {
		id     string
		status int
		body   []byte
	}{
		"a body":             {"app\x1fk", 200, []byte(`{"channels":{}}`)},
		"no body":            {"app\x1fempty", 204, nil},
		"a refusal":          {"app\x1frefused", 503, []byte("x")},
		"a large one":        {"app\x1flarge", 200, bytes.Repeat([]byte("0123456789"), 6_000)},
		"an id of any bytes": {"app\x1f\x00{}%\xff é", 200, []byte(`{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			sum := [32]byte{1, 2, byte(len(k.body)), 31: 9}
			id := []byte(k.id)
			if _, _, _, found, err := c.last().log.Answered(id); found || err != nil {
				t.Fatalf("before it was answered: %v, %v", found, err)
			}
			if err := c.first().log.Answer(id, sum, k.status, k.body); err != nil {
				t.Fatal(err)
			}
			for _, n := range c.Nodes {
				got, status, body, found, err := n.log.Answered(id)
				if err != nil || !found || got != sum || status != k.status || !bytes.Equal(body, k.body) {
					t.Errorf("%s: %x %d %.100q %v %v", n.name, got, status, body, found, err)
				}
			}
			if _, _, _, found, err := c.last().log.Answered(append(id, 'x')); found || err != nil {
				t.Errorf("an answer to nothing: %v, %v", found, err)
			}
		})
	}
}

// answersAsStored: whether a request is the one that was answered is told by its sum, which
// is the asker's to compare. An answer under the same id takes the former one's place.
func answersAsStored(t *testing.T, c *Cluster) {
	id := []byte("app\x1fk")
	for i := range byte(3) {
		sum := [32]byte{i}
		if err := c.node(int(i)).log.Answer(id, sum, 200+int(i), []byte{'a' + i}); err != nil {
			t.Fatal(err)
		}
		for _, n := range c.Nodes {
			if got, status, body, found, err := n.log.Answered(id); err != nil || !found || got != sum || status != 200+int(i) || string(body) != string('a'+i) {
				t.Errorf("%s: %x %d %q %v %v", n.name, got, status, body, found, err)
			}
		}
	}
}

func keyInOneBatch(t *testing.T, c *Cluster) {
	c.follow(news)
	n := c.first()
	first, again := n.keyed(news, "k", say("first")), n.keyed(news, "k", say("again"))
	if err := n.append(first, again); err != nil {
		t.Fatal(err)
	}
	wantDuplicate(t, again, first)
	c.wantOut(news, append([]*event{first}, c.first().publish(news, say("after"))...)...)
}

func keyless(t *testing.T, c *Cluster) {
	c.follow(news)
	n := c.first()
	var all []*event
	for _, k := range []string{"1", "2", "3"} {
		batch := []*event{n.keyed(news, k, say("with %s", k)), n.event(news, say("without %s", k))}
		n.must(batch...)
		all = append(all, batch...)
	}
	c.wantOut(news, inOrder(t, all)...)
}
