package persist

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Show writes for people what a log holds that nobody has open, and changes nothing:
// without keys its files and where all channels stand, with keys everything that is
// kept of these, first what the segments have, then what only the journal may have.
// An error names what could not be read.
func Show(dir string, w io.Writer, keys ...string) error {
	out := bufio.NewWriter(w)
	var head Report
	segments := filepath.Join(dir, segmentsDir)
	// First the segments: what locks them locks the log.
	var text bytes.Buffer
	err := segment.Show(segments, &text, keys...)
	if errors.Is(err, ErrInUse) {
		return err
	}
	m, metaErr := head.checkMeta(dir)
	if metaErr != nil {
		return metaErr
	}
	head.checkMark(dir)
	fmt.Fprintf(out, "log of life %d, id %s, clean %v, behind %v\n", head.Life, head.ID, head.Clean, head.Behind)
	out.Write(text.Bytes())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	parts, journalErr := journal.Inspect(filepath.Join(dir, journalDir), m.stillRuns(), func(_ uint64, group []byte) error {
		if len(keys) == 0 {
			return nil
		}
		return eachRecord(group, func(r *record) error {
			if slices.Contains(keys, string(r.key)) {
				r.show(out)
			}
			return nil
		})
	})
	for _, p := range parts {
		if len(keys) == 0 {
			fmt.Fprintf(out, "%s  %d groups  %d bytes\n", p.Name, p.Groups, p.Bytes)
		}
		err = errors.Join(err, p.Err)
	}
	return errors.Join(err, journalErr, out.Flush())
}

// show writes one record of the journal.
func (r *record) show(w io.Writer) {
	at := time.UnixMilli(r.timeMS).UTC().Format("2006-01-02T15:04:05.000Z")
	switch {
	case r.kind == kindTurn:
		fmt.Fprintf(w, "  journal  %s  %s  new epoch %s behind %d\n", printable(r.key), at, r.epoch, r.seq)
	case r.seq == 0:
		fmt.Fprintf(w, "  journal  %s  %s  without history  origin %q  %s\n", printable(r.key), at, r.origin, readable(r.payload))
	default:
		fmt.Fprintf(w, "  journal  %s  %s:%d  %s  total %d  origin %q  %s\n", printable(r.key), r.epoch, r.seq, at, r.total, r.origin, readable(r.payload))
	}
}

// readable is a payload from the text that it has: what frames it is left out.
func readable(payload []byte) string {
	if at := bytes.IndexByte(payload, '{'); at >= 0 && at < 16 {
		payload = payload[at:]
	}
	return printable(payload)
}

// printable is text without what would upset a terminal.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '·'
		}
		return r
	}, string(b))
}
