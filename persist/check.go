package persist

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// ErrInUse is returned by Check and Show, and wrapped by Open, while a process has
// the log open.
var ErrInUse = segment.ErrInUse

// Report is what Check found in a log.
type Report struct {
	Files    []FileReport // meta, mark, journal parts, segments
	ID       string       // epoch of the channels without one of their own
	Life     uint32       // how often epochs could not be continued
	Clean    bool         // the last run closed in order
	Behind   bool         // delivered events are missing: the next start ends all epochs
	Channels int          // with a head on disk
	Keys     int          // idempotency keys on disk
	SetAside []string     // damaged files of earlier runs
}

// FileReport is what Check found in one file.
type FileReport struct {
	Name    string // below the log's directory
	Bytes   int64
	Records uint64
	Note    string // what else there is to say
	Err     error  // nil = sound
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

// Check reads all of a log that nobody has open, and changes nothing. Damage is in
// the report; the error is for what kept Check from looking, ErrInUse above all.
func Check(dir string) (Report, error) {
	var r Report
	// First the segments: what locks them locks the log.
	segments, err := segment.Check(filepath.Join(dir, segmentsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	m, err := r.checkMeta(dir)
	if err != nil {
		return r, err
	}
	r.checkMark(dir)
	if err := r.checkJournal(dir, m); err != nil {
		return r, err
	}
	for _, f := range segments.Files {
		note := ""
		if f.Holes > 0 {
			note = fmt.Sprintf("%d missing numbers", f.Holes)
		}
		r.Files = append(r.Files, FileReport{
			Name: filepath.Join(segmentsDir, f.Name), Bytes: f.Bytes, Records: f.Records, Note: note, Err: f.Err,
		})
	}
	r.Channels, r.Keys = segments.Heads, segments.Keys
	for _, name := range segments.SetAside {
		r.SetAside = append(r.SetAside, filepath.Join(segmentsDir, name))
	}
	return r, nil
}

func (r *Report) checkMeta(dir string) (meta, error) {
	b, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return meta{}, fmt.Errorf("persist: no log in %s: %w", dir, err)
	}
	m, err := decodeMeta(b)
	r.ID, r.Life, r.Clean = m.id, m.life, m.clean
	r.Files = append(r.Files, FileReport{Name: metaFile, Bytes: int64(len(b)), Err: err})
	return m, nil
}

func (r *Report) checkMark(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, markFile))
	f := FileReport{Name: markFile, Bytes: int64(len(b)), Err: err}
	r.Behind = decodeMark(b)
	clean := len(b) == markBytes && strings.HasPrefix(string(b), markMagic) && (b[len(markMagic)] == '0' || b[len(markMagic)] == '1')
	if err == nil && !clean {
		f.Err = ErrDamaged
	}
	r.Files = append(r.Files, f)
}

// checkJournal also lists the parts that were set aside.
func (r *Report) checkJournal(dir string, m meta) error {
	path := filepath.Join(dir, journalDir)
	names, err := journal.OS().List(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("persist: %w", err)
	}
	for _, name := range names {
		if strings.Contains(name, ".corrupt-") {
			r.SetAside = append(r.SetAside, filepath.Join(journalDir, name))
		}
	}
	records, faults := map[uint64]uint64{}, map[uint64]error{}
	order := []uint64{}
	parts, err := journal.Inspect(path, m.stillRuns(), func(part uint64, group []byte) error {
		if len(order) == 0 || order[len(order)-1] != part {
			order = append(order, part)
		}
		if err := eachRecord(group, func(*record) error { records[part]++; return nil }); err != nil {
			faults[part] = err
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		f := FileReport{Name: filepath.Join(journalDir, p.Name), Bytes: p.Bytes, Err: p.Err}
		if p.Err == nil && p.Counted < p.Bytes {
			f.Note = fmt.Sprintf("counts up to %d", p.Counted)
		}
		if len(order) > 0 && p.Groups > 0 {
			f.Records = records[order[0]]
			f.Err = errors.Join(f.Err, faults[order[0]])
			order = order[1:]
		}
		r.Files = append(r.Files, f)
	}
	return nil
}

// stillRuns tells whether what was written must be there: the kernel still runs that
// it was written to, or the log was closed.
func (m meta) stillRuns() bool { return m.clean || m.boot != "" && m.boot == bootID() }

// eachRecord visits the records of a journal group.
func eachRecord(group []byte, visit func(*record) error) error {
	for len(group) > 0 {
		var rec record
		rest, err := decodeRecord(&rec, group)
		if err != nil {
			return err
		}
		if err := visit(&rec); err != nil {
			return err
		}
		group = rest
	}
	return nil
}
