package journal

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// FuzzScan reads a part of arbitrary bytes: no panic, and whatever it gives out lies
// in frames that are valid for their place.
func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	j, _, err := Open(Config{Dir: dir, Now: time.Now}, func(uint64, []byte) error { return nil })
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"first", "", "third group"} {
		if _, err := j.Append(append(make([]byte, FrameLen), text...)); err != nil {
			f.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		f.Fatal(err)
	}
	valid, err := os.ReadFile(dir + "/" + partName(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid, uint8(0))
	f.Add(valid[:len(valid)-3], uint8(1))
	f.Add(append(bytes.Clone(valid), 0, 0, 0), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, how uint8) {
		if _, previous, err := decodeHeader(b); err == nil && previous < 0 {
			t.Fatal("a negative length")
		}
		total := int64(headerLen)
		end, damage, err := scan(b, 1, tail(how%3), func(group []byte) error {
			if crcOf(b, total) != total {
				t.Fatal("a group without a frame")
			}
			total += int64(len(group)) + FrameLen
			return nil
		})
		if err != nil || end != total && len(b) > headerLen {
			t.Fatal(end, total, err)
		}
		if end > int64(len(b)) && len(b) >= headerLen {
			t.Fatal("it ends beyond the bytes")
		}
		if how%3 == uint8(tailClosed) && damage == nil && len(b) > headerLen && end != int64(len(b)) {
			t.Fatal("bytes were left out of a closed part without a word")
		}
	})
}

// crcOf returns at if a valid frame begins there, else -1.
func crcOf(b []byte, at int64) int64 {
	if _, _, ok := frameAt(b, 1, at); !ok {
		return -1
	}
	return at
}
