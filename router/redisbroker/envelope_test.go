package redisbroker

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func testSeal(tb testing.TB, key string) *seal {
	tb.Helper()
	s, err := newSeal(Keys{Shared: []byte(strings.Repeat(key, 32))})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestEnvelopeRoundTrip(t *testing.T) {
	s := testSeal(t, "k")
	for _, want := range []envelope{
		{kind: kindEvent, timeMS: 1700000000000, node: 1<<63 + 7, origin: "8137.4592", text: []byte(`{"event":"a"`)},
		{kind: kindLastEvent, text: []byte{}},
		{kind: kindClientEvent, timeMS: 1, text: []byte("x")},
	} {
		sealed := s.append(nil, "app\x1fnews", &want)
		got, err := s.open("app\x1fnews", sealed)
		if err != nil {
			t.Fatalf("%+v: %v", want, err)
		}
		if got.kind != want.kind || got.timeMS != want.timeMS || got.node != want.node || got.origin != want.origin || !bytes.Equal(got.text, want.text) {
			t.Errorf("%+v came back as %+v", want, got)
		}
	}
}

func TestEnvelopeOfAnotherClusterIsForged(t *testing.T) {
	sealed := testSeal(t, "k").append(nil, "app\x1fnews", &envelope{kind: kindEvent, text: []byte("text")})
	if _, err := testSeal(t, "l").open("app\x1fnews", sealed); !errors.Is(err, errForged) {
		t.Errorf("another cluster key: %v", err)
	}
	if _, err := testSeal(t, "k").open("app\x1fprivate-news", sealed); !errors.Is(err, errForged) {
		t.Errorf("another channel: %v", err)
	}
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := testSeal(t, "k").open("app\x1fnews", sealed); !errors.Is(err, errForged) {
			t.Errorf("bit of byte %d turned: %v", i, err)
		}
		sealed[i] ^= 1
	}
	for n := range envelopeFixed {
		if _, err := testSeal(t, "k").open("app\x1fnews", sealed[:n]); !errors.Is(err, errEnvelope) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestSplitHead(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want head
		rest string
		bad  bool
	}{
		{raw: "42:0:k3f9abcd1234:x:y", want: head{"k3f9abcd1234", 0, 42}, rest: "x:y"},
		{raw: "0:0::", want: head{}},
		{raw: "9007199254740991:9007199254740991:a:", want: head{"a", maxSeq, maxSeq}},
		{raw: "9007199254740992:0:a:", bad: true},
		{raw: "99999999999999999:0:a:", bad: true},
		{raw: "1:2:a:", bad: true}, // an epoch that begins behind the event
		{raw: "1:0::", bad: true},  // a number without an epoch
		{raw: "0:0:a:", bad: true}, // an epoch without a number
		{raw: "1:0:abcdefghijklmnopq:", bad: true},
		{raw: "1:0:a b:", bad: true},
		{raw: "-1:0:a:", bad: true},
		{raw: "1", bad: true},
		{raw: ":0:a:", bad: true},
		{raw: "", bad: true},
		{raw: "1:0:a", bad: true},
	} {
		got, rest, err := splitHead(c.raw)
		if (err != nil) != c.bad || got != c.want || rest != c.rest {
			t.Errorf("%q: %+v %q %v", c.raw, got, rest, err)
		}
	}
}

func FuzzSplitHead(f *testing.F) {
	f.Add("42:0:k3f9abcd1234:x")
	f.Add("0:0::")
	f.Fuzz(func(t *testing.T, raw string) {
		h, rest, err := splitHead(raw)
		if err != nil {
			return
		}
		// Leading zeros are read and not written.
		again, rest2, err := splitHead(string(appendHead(nil, h)) + rest)
		if err != nil || again != h || rest2 != rest {
			t.Fatalf("%q: %+v %q, again %+v %q %v", raw, h, rest, again, rest2, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	s := testSeal(f, "k")
	f.Add([]byte("\x01\x01aaaaaaaabbbbbbbb\x03123text"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var mac [macBytes]byte
		s.of("p")[0].sum(&mac, "p", body)
		e, err := s.open("p", append(mac[:], body...))
		if err != nil {
			return
		}
		if again := s.append(nil, "p", &e); !bytes.Equal(again[macBytes:], body) {
			t.Fatalf("%q became %q", body, again[macBytes:])
		}
	})
}

// TestKeysOfApplications: what is about one application does not depend on the others, and
// what was made before a reload is read after it.
func TestKeysOfApplications(t *testing.T) {
	key := func(c string) []byte { return []byte(strings.Repeat(c, 32)) }
	a, err := newSeal(Keys{Shared: key("s"), Apps: map[string][]byte{"shop": key("1")}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := newSeal(Keys{Shared: key("other"), Apps: map[string][]byte{"shop": key("1"), "blog": key("2")}})
	if err != nil {
		t.Fatal(err)
	}
	const place = "shop\x1fnews"
	before := a.append(nil, place, &envelope{kind: kindEvent, text: []byte("x")})
	if _, err := b.open(place, before); err != nil {
		t.Errorf("a node that serves one more application: %v", err)
	}
	if err := a.take(Keys{Shared: key("s"), Apps: map[string][]byte{"shop": key("3")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.open(place, before); err != nil {
		t.Errorf("made with the former secret: %v", err)
	}
	if _, err := b.open(place, a.append(nil, place, &envelope{kind: kindEvent})); !errors.Is(err, errForged) {
		t.Errorf("made with a secret that the node does not have: %v", err)
	}
}
