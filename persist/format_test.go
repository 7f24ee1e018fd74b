package persist

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func sampleRecords() []byte {
	var b []byte
	for _, r := range []record{
		{
			kind: kindEvent, flags: flagDurable | flagCached, class: 1, life: 7, ttl: 1800, timeMS: 1_700_000_000_123,
			seq: 42, start: 40, total: 4242, id: []byte("e-id"), payload: []byte(`{"event":"x"}`),
		},
		{kind: kindTurn, life: 8, timeMS: 1_700_000_000_456, seq: 43, start: 43, total: 42},
	} {
		at := len(b)
		b = appendRecord(b, &r, "app/news", "AbCdEfGh1234", "13.37")
		b = append(b, r.payload...)
		endRecord(b, at, len(r.payload), r.total)
	}
	r := record{kind: kindAnswer, life: 8, timeMS: 1_700_000_000_789, id: []byte("a-id")}
	at := len(b)
	b = append(appendRecord(b, &r, "", "", ""), "the answer"...)
	endRecord(b, at, len("the answer"), 0)
	return b
}

var (
	sampleMeta   = meta{id: "AbCdEfGh1234", life: 3, hard: 2, boot: "0f0e0d0c-boot", clean: true}
	sampleLast   = &lastEvent{expires: 1_700_000_060_000, event: Event{Seq: 42, TimeMS: 1_700_000_000_123, Origin: []byte("13.37"), Payload: []byte(`{"event":"x"}`)}}
	sampleFormer = former{epoch: "AbCdEfGh1234", start: 40, seq: 42}
)

// Bytes that today's code writes must be those that every later version reads.
func TestFormatsArePinned(t *testing.T) {
	for name, b := range map[string][]byte{
		"record_v1": sampleRecords(),
		"meta_v1":   sampleMeta.encode(),
		"mark_v1":   markContent(true)[:16],
		"last_v1":   sampleLast.encode(),
		"former_v1": sampleFormer.encode(),
		"answer_v1": encodeAnswer([32]byte{1, 2, 3}, 200, []byte(`{"a":1}`)),
	} {
		path := "testdata/" + name + ".hex"
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(b)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(b) != string(want) {
			t.Errorf("%s changed:\n%s\nwant\n%s", name, hex.Dump(b), want)
		}
	}
}

func TestFormatsReadWhatTheyWrote(t *testing.T) {
	rest := sampleRecords()
	var got []record
	for len(rest) > 0 {
		var r record
		var err error
		if rest, err = decodeRecord(&r, rest); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if len(got) != 3 {
		t.Fatalf("%d records", len(got))
	}
	e := got[0]
	if e.seq != 42 || e.start != 40 || e.total != 4242 || e.life != 7 || e.ttl != 1800 || e.class != 1 ||
		e.flags != flagDurable|flagCached || e.timeMS != 1_700_000_000_123 || string(e.key) != "app/news" ||
		string(e.epoch) != "AbCdEfGh1234" || string(e.origin) != "13.37" || string(e.id) != "e-id" || string(e.payload) != `{"event":"x"}` {
		t.Fatalf("%+v", e)
	}
	if m, err := decodeMeta(sampleMeta.encode()); err != nil || m != sampleMeta {
		t.Fatalf("%+v %v", m, err)
	}
	if l, err := decodeLast(sampleLast.encode()); err != nil || !reflect.DeepEqual(l, sampleLast) {
		t.Fatalf("%+v %v", l, err)
	}
	if f, err := decodeFormer(sampleFormer.encode()); err != nil || f != sampleFormer {
		t.Fatalf("%+v %v", f, err)
	}
	if decodeMark(markContent(false)) || !decodeMark(markContent(true)) || !decodeMark(nil) {
		t.Fatal("mark")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(sampleRecords())
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var r record
			rest, err := decodeRecord(&r, b)
			if err != nil {
				return
			}
			if r.kind == kindAnswer {
				r.epoch, r.origin = nil, nil
			}
			size := len(b) - len(rest)
			again := appendRecord(nil, &r, string(r.key), string(r.epoch), string(r.origin))
			again = append(again, r.payload...)
			endRecord(again, 0, len(r.payload), r.total)
			if r.kind != kindAnswer && !bytes.Equal(again, b[:size]) {
				t.Fatalf("%x reads as %x", b[:size], again)
			}
			b = rest
		}
	})
}

func FuzzSmallFormats(f *testing.F) {
	f.Add(sampleMeta.encode())
	f.Add(sampleLast.encode())
	f.Add(sampleFormer.encode())
	f.Add(encodeAnswer([32]byte{1}, 200, []byte("{}")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMeta(b); err == nil && !bytes.Equal(m.encode(), b) && b[19] == 0 {
			t.Fatalf("meta %x", b)
		}
		if l, err := decodeLast(b); err == nil && !bytes.Equal(l.encode(), b) {
			t.Fatalf("last %x", b)
		}
		if v, err := decodeFormer(b); err == nil && !bytes.Equal(v.encode(), b) {
			t.Fatalf("former %x", b)
		}
		if sum, status, body, err := decodeAnswer(b); err == nil && !bytes.Equal(encodeAnswer(sum, status, body), b) {
			t.Fatalf("answer %x", b)
		}
		decodeMark(b)
	})
}

// FuzzRestore replays a journal group of arbitrary records into an empty log.
func FuzzRestore(f *testing.F) {
	f.Add(sampleRecords())
	l, err := Open(func() Config {
		c := Default()
		c.Dir, c.Now = f.TempDir(), newClock().now
		return c
	}())
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	f.Fuzz(func(t *testing.T, b []byte) {
		into := &Log{cfg: l.cfg, store: l.store, seed: l.seed}
		into.meta.Store(l.meta.Load())
		into.keys.fresh, into.keys.max = map[string]keyValue{}, 1000
		into.shards = []*shard{newShard(into, 0)}
		r := &restorer{log: into, holed: map[*channel]bool{}}
		if err := r.group(1, b); err != nil {
			t.Fatal(err)
		}
		r.finish()
		for _, c := range into.shards[0].channels {
			if c.seen.era == nil || c.seen.era.start > c.seen.seq || len(c.events) > 0 && c.endLocked() != c.seen.seq+1 {
				t.Fatalf("%+v", c)
			}
		}
	})
}
