package segment

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"go.etcd.io/bbolt"
)

// Show writes what a directory holds that nobody has open, and changes nothing:
// without keys its files and the heads of all channels, with keys the head and the
// records of each. A damaged file is left out; the error names it.
func Show(dir string, w io.Writer, keys ...string) error {
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := openToShow(dir)
	if s == nil {
		return err
	}
	defer s.closeFiles(false)
	out := bufio.NewWriter(w)
	if len(keys) == 0 {
		err = errors.Join(err, s.showAll(out))
	}
	for _, key := range keys {
		err = errors.Join(err, s.showKey(out, key))
	}
	return errors.Join(err, out.Flush())
}

// openToShow opens what can be opened; the error beside a Store tells of what could not.
func openToShow(dir string) (*Store, error) {
	cfg, err := Config{Dir: dir, Now: func() time.Time { return time.Time{} }}.prepared()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	s := &Store{cfg: cfg, readOnly: true}
	s.heads = &headsFile{cfg: &s.cfg, path: filepath.Join(dir, HeadsFile)}
	s.list.Store(&[]*segmentFile{})
	var faults []error
	for _, e := range entries {
		class, number, whole, isSegment := parseSegmentName(e.Name())
		if e.Name() == HeadsFile {
			faults = append(faults, s.showHeads())
		}
		if isSegment && whole {
			f, err := openSegment(&s.cfg, class, number, 0, false)
			if err == nil {
				s.enlist(f)
			}
			faults = append(faults, err)
		}
	}
	s.sortFiles()
	return s, errors.Join(faults...)
}

// showHeads opens heads.db for reading.
func (s *Store) showHeads() error {
	h := s.heads
	if err := h.walk(h.path); err != nil {
		return err
	}
	f, err := openBolt(h.path, &s.cfg.Hooks, 0, 0, true)
	h.file = f
	return err
}

func (s *Store) showAll(w io.Writer) error {
	for _, f := range s.files() {
		fmt.Fprintf(w, "%s  class %d  %d records  %d bytes  %s … %s\n", filepath.Base(f.file.path), f.class,
			f.sum.records, f.bytes.Load(), timeText(f.sum.firstMS), timeText(f.sum.lastMS))
	}
	if s.heads.file == nil {
		return nil
	}
	return s.heads.view(bucketHeads, func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			h, err := decodeHead(k, v)
			if err == nil {
				showHead(w, &h)
			}
			return err
		})
	})
}

func (s *Store) showKey(w io.Writer, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	found := false
	if s.heads.file != nil {
		h, ok, err := s.heads.head(key)
		if err != nil {
			return err
		}
		if found = ok; ok {
			showHead(w, &h)
		}
	}
	if !found {
		fmt.Fprintf(w, "%s  no head\n", printable([]byte(key)))
	}
	return s.Read(key, 0, MaxSeq, 0, 0, func(r *Record) bool {
		fmt.Fprintf(w, "  %d  %s  total %d  flags %d  class %d  origin %q  %s\n",
			r.Seq, timeText(r.TimeMS), r.Total, r.Flags, r.Class, r.Origin, printable(r.Payload))
		return true
	})
}

func showHead(w io.Writer, h *Head) {
	fmt.Fprintf(w, "%s  %s:%d  start %d  total %d  %s  life %d", printable([]byte(h.Key)), h.Epoch, h.Seq, h.Start, h.Total, timeText(h.TimeMS), h.Life)
	if h.Durable {
		fmt.Fprint(w, "  durable")
	}
	if h.Last != nil {
		fmt.Fprintf(w, "  last event: seq %d, %s, %d bytes", h.LastSeq, timeText(h.LastTimeMS), len(h.Last))
	}
	fmt.Fprintln(w)
}

func timeText(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// printable keeps what a terminal shows as it is and quotes the rest.
func printable(b []byte) string {
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) {
			return strconv.Quote(string(b))
		}
		rest = rest[n:]
	}
	return string(b)
}
