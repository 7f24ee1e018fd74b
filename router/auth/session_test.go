package auth

import (
	"crypto/aes"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

var sessionStart = time.Unix(1_700_000_000, 0)

func TestSessionIDs(t *testing.T) {
	ids := NewSessionIDs([16]byte{1, 2, 3})
	form := regexp.MustCompile(`^\d+\.\d+$`)
	seen := map[string]bool{}
	for i := range 1000 {
		id := ids.Issue(sessionStart, [6]byte{byte(i >> 8), byte(i), 0, 0, 0, 9})
		if !form.MatchString(id) || len(id) > 41 {
			t.Fatalf("issued %q", id)
		}
		if seen[id] {
			t.Fatalf("%q was issued twice", id)
		}
		seen[id] = true
		if err := ids.Check(id, sessionStart); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		if err := NewSessionIDs([16]byte{1, 2, 4}).Check(id, sessionStart); !errors.Is(err, ErrSessionForged) {
			t.Fatalf("%q under another key: %v", id, err)
		}
	}
}

// TestSessionIDExpires: never before the hour is over, and within a second after it.
func TestSessionIDExpires(t *testing.T) {
	ids := NewSessionIDs([16]byte{1})
	for _, fraction := range []time.Duration{0, 1, time.Second / 2, time.Second - 1} {
		at := sessionStart.Add(fraction)
		id := ids.Issue(at, [6]byte{1})
		for after, want := range map[time.Duration]error{
			-time.Hour:                               nil, // a clock that is behind
			0:                                        nil,
			SessionLifetime - 1:                      nil,
			SessionLifetime + time.Second:            ErrSessionExpired,
			SessionLifetime + 10*365*24*time.Hour:    ErrSessionExpired,
			SessionLifetime - time.Second - fraction: nil,
		} {
			if err := ids.Check(id, at.Add(after)); !errors.Is(err, want) {
				t.Errorf("issued at .%09d, %v later: %v, want %v", fraction, after, err, want)
			}
		}
	}
	exact := ids.Issue(sessionStart, [6]byte{})
	if err := ids.Check(exact, sessionStart.Add(SessionLifetime)); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("at its expiry: %v", err)
	}
}

func TestSessionIDRefuses(t *testing.T) {
	ids := NewSessionIDs([16]byte{1})
	good := ids.Issue(sessionStart, [6]byte{1, 2, 3, 4, 5, 6})
	first, second, _ := strings.Cut(good, ".")
	for _, s := range []string{
		"", ".", "1", "1.", ".1", "1.2.3", "1234.1234", "0.0", "a.b", "-1.2", "+1.2", "1.2 ",
		"18446744073709551616.1", "99999999999999999999.1", "0" + good, first + ".0" + second,
		good + ".", good + "\n", " " + good, first + "," + second, second + "." + first,
	} {
		if err := ids.Check(s, sessionStart); !errors.Is(err, ErrSessionForged) {
			t.Errorf("%q: %v", s, err)
		}
	}
	t.Log("neighbours of an id are no ids")
	for i := range good {
		for _, c := range []byte("0123456789") {
			if good[i] == '.' || good[i] == c {
				continue
			}
			if err := ids.Check(good[:i]+string(c)+good[i+1:], sessionStart); !errors.Is(err, ErrSessionForged) {
				t.Errorf("%q with %q at %d: %v", good, c, i, err)
			}
		}
	}
	t.Log("under the right key, but of another kind or with anything in the zeros")
	for at := range 6 {
		for bit := range 8 {
			var b [16]byte
			binary.BigEndian.PutUint32(b[0:], 1<<32-1)
			b[15] = sessionKind
			b[10+at] ^= 1 << bit
			ids.block.Encrypt(b[:], b[:])
			id := fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint64(b[8:]))
			if err := ids.Check(id, sessionStart); !errors.Is(err, ErrSessionForged) {
				t.Errorf("bit %d of byte %d: %v", bit, 10+at, err)
			}
		}
	}
}

// TestSessionIDsAreNoSocketIDs: neither is taken for the other, under different keys
// and even under the same one.
func TestSessionIDsAreNoSocketIDs(t *testing.T) {
	key, other := [16]byte{1, 2, 3}, [16]byte{4, 5, 6}
	sessions := NewSessionIDs(key)
	for _, socketKey := range [][16]byte{other, key} {
		nodes := make([]*SocketIDs, 0, 3)
		for _, node := range []uint16{0, 1, uint16(sessionStart.Add(SessionLifetime).Unix() >> 16)} {
			nodes = append(nodes, NewSocketIDs(socketKey, node))
		}
		for i := range uint32(20_000) {
			id := sessions.Issue(sessionStart.Add(time.Duration(i)*time.Minute), [6]byte{byte(i >> 8), byte(i)})
			for _, sockets := range nodes {
				if _, _, _, ok := sockets.Parse(id); ok {
					t.Fatalf("session id %q is a socket id of node %d", id, sockets.node)
				}
				id := string(sockets.Append(nil, uint16(i), i, i+1))
				if err := sessions.Check(id, sessionStart); !errors.Is(err, ErrSessionForged) {
					t.Fatalf("socket id %q of node %d is a session id: %v", id, sockets.node, err)
				}
			}
		}
	}
}

// TestSessionIDLayout pins the block: nodes of different versions share it.
func TestSessionIDLayout(t *testing.T) {
	key := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	id := NewSessionIDs(key).Issue(sessionStart, [6]byte{0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6})
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	var high, low uint64
	if _, err := fmt.Sscanf(id, "%d.%d", &high, &low); err != nil {
		t.Fatal(err)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[0:], high)
	binary.BigEndian.PutUint64(b[8:], low)
	block.Decrypt(b[:], b[:])
	if got := fmt.Sprintf("%x", b); got != "6553ff10"+"a1a2a3a4a5a6"+"00000000"+"0001" {
		t.Errorf("%q holds %s", id, got)
	}
}

func TestSessionKey(t *testing.T) {
	apps := []AppSecret{{"1", "one"}, {"2", "two"}}
	key := SessionKey(apps)
	if key != SessionKey([]AppSecret{apps[1], apps[0]}) {
		t.Error("the order of the applications counts")
	}
	if apps[0].ID != "1" {
		t.Error("the list was changed")
	}
	t.Log("pinned: all nodes of a cluster and all versions derive the same key")
	if got := fmt.Sprintf("%x", key); got != pinnedSessionKey {
		t.Errorf("the key is %s", got)
	}
	for name, others := range map[string][]AppSecret{
		"another secret":         {{"1", "one"}, {"2", "twO"}},
		"another id":             {{"1", "one"}, {"3", "two"}},
		"one more":               {{"1", "one"}, {"2", "two"}, {"3", "three"}},
		"one less":               {{"1", "one"}},
		"bytes moved":            {{"1o", "ne"}, {"2", "two"}},
		"secrets swapped":        {{"1", "two"}, {"2", "one"}},
		"one that holds the two": {{"1", "one2two"}},
		"none":                   nil,
	} {
		if SessionKey(others) == key {
			t.Errorf("%s: the same key", name)
		}
	}
}

// pinnedSessionKey was also computed by another implementation of HKDF.
const pinnedSessionKey = "e439e816b48f1c6dee9495f4349f80e2"

// FuzzSessionIDs: every text is refused or is the one spelling of an id, and what is
// issued is taken.
func FuzzSessionIDs(f *testing.F) {
	ids := NewSessionIDs([16]byte{1, 2, 3})
	sockets := NewSocketIDs([16]byte{1, 2, 3}, 7)
	f.Add(ids.Issue(sessionStart, [6]byte{1}), int64(1_700_000_000), []byte{1, 2, 3, 4, 5, 6})
	f.Add(string(sockets.Append(nil, 1, 2, 3)), int64(0), []byte{})
	f.Add("18446744073709551615.0", int64(4_294_000_000), []byte{255})
	f.Fuzz(func(t *testing.T, s string, second int64, bits []byte) {
		if err := ids.Check(s, sessionStart); !errors.Is(err, ErrSessionForged) {
			high, low, _ := strings.Cut(s, ".")
			h, okHigh := parseDecimal(high)
			l, okLow := parseDecimal(low)
			if !okHigh || !okLow || fmt.Sprintf("%d.%d", h, l) != s {
				t.Fatalf("%q is taken and is written otherwise", s)
			}
		}
		if second < 0 || second > 1<<32-1-7200 {
			return
		}
		now := time.Unix(second, 0)
		var random [6]byte
		copy(random[:], bits)
		id := ids.Issue(now, random)
		if err := ids.Check(id, now); err != nil {
			t.Fatalf("issued %q: %v", id, err)
		}
		if err := ids.Check(id, now.Add(SessionLifetime)); !errors.Is(err, ErrSessionExpired) {
			t.Fatalf("%q an hour later: %v", id, err)
		}
		if _, _, _, ok := sockets.Parse(id); ok {
			t.Fatalf("%q is a socket id", id)
		}
	})
}

func BenchmarkSessionIDs(b *testing.B) {
	ids := NewSessionIDs([16]byte{1})
	id := ids.Issue(sessionStart, [6]byte{1})
	b.Run("issue", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ids.Issue(sessionStart, [6]byte{1})
		}
	})
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := ids.Check(id, sessionStart); err != nil {
				b.Fatal(err)
			}
		}
	})
}
