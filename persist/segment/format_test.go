package segment

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// golden returns the bytes of a file that every later version must read. The file
// is hex with comments behind '#'.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

func wantGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	if want := golden(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s: the format changed:\n got %x\nwant %x", name, got, want)
	}
}

var (
	goldenRecord = Record{
		Seq: 0x0102030405, TimeMS: 1_700_000_000_123, Total: 987_654_321, Flags: 5,
		Origin: []byte("8137.4592"), Payload: []byte(`{"event":"e","channel":"news","data":"{}","seq":4328719365}`),
	}
	goldenHead = Head{
		Key: "app-id/cache-x", Epoch: "k3f9k3f9", Start: 7, Seq: 41, Total: 5000, TimeMS: 1_700_000_000_123, Life: 3,
		Durable: true, Last: []byte("last"), LastSeq: 40, LastTimeMS: 1_700_000_000_100,
	}
	goldenKey    = Key{ID: []byte("app-id\x00key"), TimeMS: 1_700_000_000_123, Value: []byte("200 {}")}
	goldenFooter = footer{
		summary: summary{records: 3, firstMS: 1_700_000_000_000, lastMS: 1_700_000_000_123, firstKey: "app-id/a", lastKey: "app-id/news"},
		class:   2, number: 0x1f, seed: 0x0123456789abcdef, filter: goldenFilter(),
	}
)

func goldenFilter() *bloom {
	b := newBloom(8)
	for _, key := range []string{"app-id/a", "app-id/b", "app-id/news"} {
		b.add(hashKey(0x0123456789abcdef, key))
	}
	return b
}

func TestRecordFormat(t *testing.T) {
	k := appendRecordKey(nil, "app-id/news", goldenRecord.Seq)
	v := appendRecordValue(nil, k, &goldenRecord)
	wantGolden(t, "record_v1_key", k)
	wantGolden(t, "record_v1", v)
	var got Record
	if err := decodeRecord(&got, golden(t, "record_v1_key"), golden(t, "record_v1")); err != nil || !reflect.DeepEqual(got, goldenRecord) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if len(v) != goldenRecord.valueBytes() {
		t.Errorf("valueBytes = %d of %d", goldenRecord.valueBytes(), len(v))
	}
	wantEveryFlipFound(t, v, func(v []byte) error { return decodeRecord(&got, k, v) })
	t.Log("a record under another key is damaged")
	if err := decodeRecord(&got, appendRecordKey(nil, "app-id/news", goldenRecord.Seq+1), v); !errors.Is(err, ErrDamaged) {
		t.Errorf("foreign key: %v", err)
	}
}

func TestHeadFormat(t *testing.T) {
	k := []byte(goldenHead.Key)
	v := appendHead(nil, k, &goldenHead)
	wantGolden(t, "head_v1", v)
	if got, err := decodeHead(k, golden(t, "head_v1")); err != nil || !reflect.DeepEqual(got, goldenHead) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if ms, ok := headTime(v); !ok || ms != goldenHead.TimeMS || len(v) != goldenHead.valueBytes() {
		t.Errorf("headTime = %d %v, %d bytes", ms, ok, len(v))
	}
	wantEveryFlipFound(t, v, func(v []byte) error { _, err := decodeHead(k, v); return err })
}

func TestKeyFormat(t *testing.T) {
	v := appendKeyValue(nil, &goldenKey)
	wantGolden(t, "key_v1", v)
	if got, err := decodeKey(goldenKey.ID, golden(t, "key_v1")); err != nil || !reflect.DeepEqual(got, goldenKey) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	wantEveryFlipFound(t, v, func(v []byte) error { _, err := decodeKey(goldenKey.ID, v); return err })
	k := appendKeyTime(nil, goldenKey.TimeMS, goldenKey.ID)
	wantGolden(t, "keytime_v1", k)
	if ms, id, ok := splitKeyTime(k); !ok || ms != goldenKey.TimeMS || !bytes.Equal(id, goldenKey.ID) {
		t.Errorf("split into %d %q %v", ms, id, ok)
	}
}

func TestMetaFormat(t *testing.T) {
	v := appendMeta(nil, "life", []byte("k3f9k3f9"))
	wantGolden(t, "meta_v1", v)
	if got, err := decodeMeta("life", golden(t, "meta_v1")); err != nil || string(got) != "k3f9k3f9" {
		t.Errorf("decoded %q, %v", got, err)
	}
	wantEveryFlipFound(t, v, func(v []byte) error { _, err := decodeMeta("life", v); return err })
}

func TestFooterFormat(t *testing.T) {
	v := appendFooter(nil, &goldenFooter)
	wantGolden(t, "footer_v1", v)
	got, err := decodeFooter(golden(t, "footer_v1"))
	if err != nil || !reflect.DeepEqual(got, &goldenFooter) {
		t.Errorf("decoded %+v, %v", got, err)
	}
	for _, key := range []string{"app-id/a", "app-id/b", "app-id/news"} {
		if !got.filter.may(hashKey(got.seed, key)) {
			t.Errorf("the filter denies %q", key)
		}
	}
	wantEveryFlipFound(t, v, func(v []byte) error { _, err := decodeFooter(v); return err })
}

// wantEveryFlipFound flips each bit, and cuts the value at each length.
func wantEveryFlipFound(t *testing.T, v []byte, decode func([]byte) error) {
	t.Helper()
	for bit := range len(v) * 8 {
		flipped := bytes.Clone(v)
		flipped[bit/8] ^= 1 << (bit % 8)
		if err := decode(flipped); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
	}
	for n := range v {
		if err := decode(v[:n]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	if got := segmentName(2, 0x1f); got != "seg-2-000000000000001f.db" {
		t.Errorf("name = %q", got)
	}
	for name, want := range map[string]string{
		"seg-2-000000000000001f.db":                          "2 31 true true",
		"seg-3-ffffffffffffffff.db":                          "3 18446744073709551615 true true",
		"seg-0-0000000000000001.db.new":                      "0 1 false true",
		"seg-0-0000000000000001.db.corrupt-20261126T110000Z": "0 1 false true",
		"seg-4-0000000000000001.db":                          "0 0 false false",
		"seg-0-000000000000001F.db":                          "0 0 false false",
		"seg-0-+00000000000001f.db":                          "0 0 false false",
		"seg-0-1.db":                                         "0 0 false false",
		"seg-":                                               "0 0 false false",
		"heads.db":                                           "0 0 false false",
	} {
		class, number, whole, ok := parseSegmentName(name)
		if got := fmt.Sprint(class, number, whole, ok); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
