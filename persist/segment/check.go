package segment

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Report is what Check found in a directory.
type Report struct {
	Files    []FileReport // in the order of their names
	Clean    bool         // the last run closed in order
	Heads    int
	Keys     int
	SetAside []string // damaged files of earlier runs
}

// FileReport is what Check found in a file.
type FileReport struct {
	Name     string
	Class    Class  // of a segment
	Bytes    int64  // of its pages in use
	Records  uint64 // of a segment
	Channels uint64
	Holes    uint64 // missing seqs between two of a channel; a rule that changed makes some
	FirstMS  int64
	LastMS   int64
	Sealed   bool  // has a footer
	Err      error // nil = sound
}

// Damaged is the number of files that are not sound.
func (r *Report) Damaged() int {
	n := 0
	for i := range r.Files {
		if r.Files[i].Err != nil {
			n++
		}
	}
	return n
}

// Check reads every page and every value of a directory that nobody has open, and
// changes nothing. Damage is reported in the files; the error is for what kept
// Check from looking, ErrInUse above all.
func Check(dir string) (Report, error) {
	var report Report
	unlock, err := lockDir(dir)
	if err != nil {
		return report, err
	}
	defer unlock()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return report, fmt.Errorf("segment: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		class, number, whole, isSegment := parseSegmentName(name)
		switch {
		case strings.Contains(name, corruptInfix):
			report.SetAside = append(report.SetAside, name)
		case name == HeadsFile:
			report.Files = append(report.Files, report.checkHeads(filepath.Join(dir, name)))
		case isSegment && whole:
			report.Files = append(report.Files, checkSegment(filepath.Join(dir, name), class, number))
		}
	}
	return report, nil
}

// lockDir keeps a server from opening the directory, and is refused while one has it open.
func lockDir(dir string) (unlock func(), err error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	f, err := os.Open(filepath.Join(dir, HeadsFile))
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil // no server has it open, for it would have made one
	}
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	if err := lockShared(f); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func (r *Report) checkHeads(path string) FileReport {
	f := FileReport{Name: filepath.Base(path), Bytes: bytesInUse(path)}
	h := headsFile{path: path}
	keys := 0
	f.Err = walkNewest(path, func(bucket, k, v []byte) error {
		switch {
		case bytes.Equal(bucket, bucketMeta) && bytes.Equal(k, cleanName):
			r.Clean = true
		case bytes.Equal(bucket, bucketKeys):
			keys++
		}
		return h.take(bucket, k, v)
	})
	r.Heads, r.Keys = h.set.len(), int(h.keyCount.Load())
	if f.Err == nil && keys != r.Keys {
		f.Err = damaged(path, "%d idempotency keys with %d times", keys, r.Keys)
	}
	return f
}

func checkSegment(path string, class Class, number uint64) FileReport {
	f := FileReport{Name: filepath.Base(path), Class: class, Bytes: bytesInUse(path)}
	var s summary
	var foot *footer
	var r Record
	var last uint64
	f.Err = walkFile(path, func(bucket, k, v []byte) (err error) {
		if bytes.Equal(bucket, bucketMeta) && bytes.Equal(k, footerName) {
			foot, err = decodeFooter(v)
			return err
		}
		if !bytes.Equal(bucket, bucketRecords) {
			return nil
		}
		if err := decodeRecord(&r, k, v); err != nil {
			return err
		}
		if key := k[:len(k)-seqBytes]; r.Key != string(key) {
			r.Key = string(key)
			f.Channels++
		} else {
			f.Holes += r.Seq - last - 1
		}
		last = r.Seq
		s.note(&r)
		return nil
	})
	f.Records, f.FirstMS, f.LastMS, f.Sealed = s.records, s.firstMS, s.lastMS, foot != nil
	if f.Err == nil && foot != nil && (foot.summary.records != s.records || foot.firstKey != s.firstKey ||
		foot.lastKey != s.lastKey || foot.class != class || foot.number != number) {
		f.Err = damaged(path, "the footer does not tell what the file holds")
	}
	return f
}
