package segment

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// What a decoder accepts encodes to the same bytes again.

func FuzzRecord(f *testing.F) {
	f.Add(golden(f, "record_v1_key"), golden(f, "record_v1"))
	f.Add([]byte("a\x00\x00\x00\x00\x00\x00\x00\x00\x01"), make([]byte, recordHeader))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		patchSum(k, v)
		var r Record
		if decodeRecord(&r, k, v) != nil {
			return
		}
		key, seq, _ := splitRecordKey(k)
		if again := appendRecordValue(nil, k, &r); !bytes.Equal(again, v) {
			t.Fatalf("%x became %x", v, again)
		}
		if again := appendRecordKey(nil, string(key), seq); !bytes.Equal(again, k) {
			t.Fatalf("key %x became %x", k, again)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(goldenHead.Key), golden(f, "head_v1"))
	f.Add([]byte("a"), make([]byte, headHeader))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		patchSum(k, v)
		h, err := decodeHead(k, v)
		if err != nil {
			return
		}
		again, err := decodeHead(k, appendHead(nil, k, &h))
		if err != nil || again.Seq != h.Seq || again.Epoch != h.Epoch || !bytes.Equal(again.Last, h.Last) || (again.Last == nil) != (h.Last == nil) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
		if ms, ok := headTime(v); !ok || ms != h.TimeMS {
			t.Fatalf("headTime = %d %v of %+v", ms, ok, h)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(goldenKey.ID, golden(f, "key_v1"))
	f.Fuzz(func(t *testing.T, id, v []byte) {
		patchSum(id, v)
		k, err := decodeKey(id, v)
		if err != nil {
			return
		}
		if again := appendKeyValue(nil, &k); !bytes.Equal(again, v) {
			t.Fatalf("%x became %x", v, again)
		}
	})
}

func FuzzKeyTime(f *testing.F) {
	f.Add(golden(f, "keytime_v1"))
	f.Fuzz(func(t *testing.T, k []byte) {
		ms, id, ok := splitKeyTime(k)
		if ok && !bytes.Equal(appendKeyTime(nil, ms, id), k) {
			t.Fatalf("%x split into %d %x", k, ms, id)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add("life", golden(f, "meta_v1"))
	f.Fuzz(func(t *testing.T, name string, v []byte) {
		patchSum([]byte(name), v)
		value, err := decodeMeta(name, v)
		if err == nil && !bytes.Equal(appendMeta(nil, name, value), v) {
			t.Fatalf("%x decoded to %x", v, value)
		}
	})
}

func FuzzFooter(f *testing.F) {
	f.Add(golden(f, "footer_v1"))
	f.Fuzz(func(t *testing.T, v []byte) {
		patchSum(footerName, v)
		foot, err := decodeFooter(v)
		if err != nil {
			return
		}
		if again := appendFooter(nil, foot); !bytes.Equal(again, v) {
			t.Fatalf("%x became %x", v, again)
		}
		foot.filter.may(1)
	})
}

func FuzzSegmentName(f *testing.F) {
	f.Add("seg-2-000000000000001f.db")
	f.Add("seg-0-0000000000000001.db.new")
	f.Fuzz(func(t *testing.T, name string) {
		class, number, whole, ok := parseSegmentName(name)
		if ok && whole && segmentName(class, number) != name {
			t.Fatalf("%q is read as %q", name, segmentName(class, number))
		}
	})
}

// FuzzPages gives a bbolt file with a few changed bytes to the walk. It must never
// panic; and what it accepts, bbolt's own check accepts.
func FuzzPages(f *testing.F) {
	whole := smallFile(f)
	for _, at := range []int{0, 8, 10, 16, 4096 + 24, 2*4096 + 10, 3*4096 + 16, 3*4096 + 24, 4*4096 + 8, 5 * 4096} {
		f.Add(at, []byte{0xff})
		f.Add(at, []byte{1, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, at int, change []byte) {
		file := bytes.Clone(whole)
		if at < 0 || at >= len(file) {
			return
		}
		for i, b := range change {
			if at+i < len(file) {
				file[at+i] ^= b
			}
		}
		pages, err := openPages(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		branches, meta := *pages, *pages
		branchErr, metaErr := branches.walkBranches(), meta.walkOnly(bucketMeta)
		if pages.walk(func(_, _, _ []byte) error { return nil }) != nil {
			return
		}
		if branchErr != nil || metaErr != nil {
			t.Fatalf("a walk of less finds what the whole walk does not: %v, %v", branchErr, metaErr)
		}
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		wantBoltAgrees(t, path)
	})
}

// wantBoltAgrees expects bbolt to find no fault in a file that the walk accepted.
func wantBoltAgrees(t testing.TB, path string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatalf("the walk accepts what bbolt does not open: %v", err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for fault := range tx.Check() {
			t.Errorf("the walk accepts what bbolt's check does not: %v", fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// smallFile is a bbolt file of a few pages with branches, overflow, an inline
// bucket and a freelist.
func smallFile(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "small.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, PageSize: 4096, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		t.Fatal(err)
	}
	db.AllocSize = 4096
	for round := range 3 {
		err := db.Update(func(tx *bbolt.Tx) error {
			small, err := tx.CreateBucketIfNotExists(bucketMeta)
			if err != nil {
				return err
			}
			if err := small.Put([]byte("name"), []byte("value")); err != nil {
				return err
			}
			records, err := tx.CreateBucketIfNotExists(bucketRecords)
			if err != nil {
				return err
			}
			for i := range 40 {
				r := Record{Key: "channel", Seq: uint64(40*round + i + 1), Payload: bytes.Repeat([]byte("p"), 50)}
				if i == 7 {
					r.Payload = bytes.Repeat([]byte("q"), 6000)
				}
				k := appendRecordKey(nil, r.Key, r.Seq)
				if err := records.Put(k, appendRecordValue(nil, k, &r)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// patchSum makes the checksum right, so that the fuzzer gets behind it.
func patchSum(k, v []byte) {
	if len(v) >= 4 {
		native.PutUint32(v, sumOf(k, v[4:]))
	}
}
