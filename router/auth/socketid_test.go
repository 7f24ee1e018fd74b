package auth

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestSocketIDs(t *testing.T) {
	ids := NewSocketIDs([16]byte{1, 2, 3}, 7)
	form := regexp.MustCompile(`^\d+\.\d+$`)
	seen := map[string]bool{}
	for _, c := range []struct {
		loop      uint16
		slot, gen uint32
	}{{0, 0, 1}, {0, 1, 1}, {0, 1, 2}, {1, 1, 1}, {255, 1 << 20, 77}, {65535, 1<<32 - 1, 1<<32 - 1}} {
		id := string(ids.Append([]byte("x"), c.loop, c.slot, c.gen)[1:])
		if !form.MatchString(id) || len(id) > 41 {
			t.Errorf("%+v became %q", c, id)
		}
		if seen[id] {
			t.Errorf("%q was given twice", id)
		}
		seen[id] = true
		if loop, slot, gen, ok := ids.Parse(id); !ok || loop != c.loop || slot != c.slot || gen != c.gen {
			t.Errorf("%+v is read as %d %d %d %v", c, loop, slot, gen, ok)
		}
		if _, _, _, ok := NewSocketIDs([16]byte{1, 2, 4}, 7).Parse(id); ok {
			t.Errorf("%q is valid under another key", id)
		}
		if _, _, _, ok := NewSocketIDs([16]byte{1, 2, 3}, 8).Parse(id); ok {
			t.Errorf("%q is valid on another node", id)
		}
	}
}

// TestSocketIDsAreNotGuessed: neighbours of an id are not ids.
func TestSocketIDsAreNotGuessed(t *testing.T) {
	ids := NewSocketIDs([16]byte{9}, 0)
	id := string(ids.Append(nil, 0, 5, 1))
	for i := range id {
		for _, c := range []byte("0123456789") {
			if id[i] == '.' || id[i] == c {
				continue
			}
			if _, _, _, ok := ids.Parse(id[:i] + string(c) + id[i+1:]); ok {
				t.Errorf("%q with %q at %d is an id", id, c, i)
			}
		}
	}
}

// TestSocketIDLastWord: a block of our key and node whose last word is not 0 is no id.
func TestSocketIDLastWord(t *testing.T) {
	ids := NewSocketIDs([16]byte{1}, 7)
	for _, last := range []uint32{0, 1, 1 << 31} {
		var b [16]byte
		binary.BigEndian.PutUint16(b[0:], 7)
		binary.BigEndian.PutUint32(b[12:], last)
		ids.block.Encrypt(b[:], b[:])
		id := fmt.Sprintf("%d.%d", binary.BigEndian.Uint64(b[0:]), binary.BigEndian.Uint64(b[8:]))
		if _, _, _, ok := ids.Parse(id); ok != (last == 0) {
			t.Errorf("with %d as last word: %v", last, ok)
		}
	}
}

func TestParseSocketIDRefuses(t *testing.T) {
	ids := NewSocketIDs([16]byte{1}, 0)
	good := string(ids.Append(nil, 1, 2, 3))
	first, second, _ := strings.Cut(good, ".")
	for _, s := range []string{
		"", ".", "1", "1.", ".1", "1.2.3", "1234.1234", "0.0", "a.b", "-1.2", "+1.2", "1e3.2", "1.2 ",
		"18446744073709551616.1", "99999999999999999999.1", "1.18446744073709551616",
		"0" + good, first + ".0" + second, good + ".", good + "\n", " " + good, first + "," + second, second + "." + first,
	} {
		if loop, slot, gen, ok := ids.Parse(s); ok {
			t.Errorf("%q is read as %d %d %d", s, loop, slot, gen)
		}
	}
	if _, _, _, ok := ids.Parse(good); !ok {
		t.Errorf("%q is not read", good)
	}
}

func FuzzSocketIDs(f *testing.F) {
	ids := NewSocketIDs([16]byte{1, 2, 3}, 7)
	f.Add(string(ids.Append(nil, 1, 2, 3)), uint16(1), uint32(2), uint32(3))
	f.Add("18446744073709551615.0", uint16(0), uint32(0), uint32(1))
	f.Fuzz(func(t *testing.T, s string, loop uint16, slot, gen uint32) {
		if l, sl, g, ok := ids.Parse(s); ok && string(ids.Append(nil, l, sl, g)) != s {
			t.Fatalf("%q is read as %d %d %d, which is written otherwise", s, l, sl, g)
		}
		id := string(ids.Append(nil, loop, slot, gen))
		if l, sl, g, ok := ids.Parse(id); !ok || l != loop || sl != slot || g != gen {
			t.Fatalf("%d %d %d became %q", loop, slot, gen, id)
		}
	})
}

func TestSocketIDAllocations(t *testing.T) {
	if raceEnabled {
		t.Log("not counted: the race detector makes pools forget")
		return
	}
	ids := NewSocketIDs([16]byte{1}, 0)
	good := string(ids.Append(nil, 1, 2, 3))
	if n := testing.AllocsPerRun(1000, func() {
		var room [41]byte
		if id := ids.Append(room[:0], 1, 2, 3); len(id) != len(good) {
			panic("another id")
		}
		if _, _, _, ok := ids.Parse(good); !ok {
			panic("not read")
		}
	}); n > 0 {
		t.Errorf("socket ids allocate %v times", n)
	}
}

func BenchmarkSocketIDs(b *testing.B) {
	ids := NewSocketIDs([16]byte{1}, 0)
	b.Run("append", func(b *testing.B) {
		var room [41]byte
		b.ReportAllocs()
		for b.Loop() {
			ids.Append(room[:0], 1, 2, 3)
		}
	})
	b.Run("parse", func(b *testing.B) {
		id := string(ids.Append(nil, 1, 2, 3))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, _, ok := ids.Parse(id); !ok {
				b.Fatal("not read")
			}
		}
	})
}
