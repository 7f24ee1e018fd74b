package journal

import (
	"fmt"
	"path/filepath"
	"strings"
)

// reader reads the parts that former processes left.
type reader struct {
	cfg      Config
	replay   func(part uint64, group []byte) error
	readOnly bool // nothing on disk is changed

	parts []PartReport

	old    []oldPart
	damage []Damage
	next   uint64 // number of the part to start
	end    int64  // bytes that count of the last part that was read
}

// partHead is a part whose header was read.
type partHead struct {
	part     uint64
	previous int64
	bytes    []byte
	err      error
}

func (r *reader) run() error {
	numbers, err := r.list()
	if err != nil {
		return err
	}
	r.next = 1
	// A part is read together with the header of the one behind it, which says how
	// much of it counts.
	var ahead *partHead
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			r.damage = append(r.damage, Damage{Part: n - 1, Err: errMissing})
			r.parts = append(r.parts, PartReport{Name: partName(n - 1), Err: errMissing})
		}
		current := ahead
		if current == nil {
			if current, err = r.load(n); err != nil {
				return err
			}
		}
		ahead = nil
		if i+1 < len(numbers) {
			if ahead, err = r.load(numbers[i+1]); err != nil {
				return err
			}
		}
		if err := r.part(current, ahead, i+1 == len(numbers)); err != nil {
			return err
		}
		r.next = n + 1
	}
	return nil
}

// list returns the numbers of all parts and removes what was never finished.
func (r *reader) list() ([]uint64, error) {
	names, err := r.cfg.FS.List(r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := parsePart(name); ok {
			numbers = append(numbers, n)
		} else if strings.HasSuffix(name, asideSuffix) && !r.readOnly {
			_ = r.cfg.FS.Remove(filepath.Join(r.cfg.Dir, name)) // it is not read, and overwritten when its turn comes
		}
	}
	return numbers, nil // names are in order, and so are equally long numbers
}

// load reads a part. A part that cannot be read, for whatever reason, is damaged:
// a disk that fails on one file must not keep the server from starting.
func (r *reader) load(n uint64) (*partHead, error) {
	b, err := r.cfg.FS.ReadFile(filepath.Join(r.cfg.Dir, partName(n)))
	if err != nil {
		return &partHead{part: n, err: err}, nil
	}
	part, previous, err := decodeHeader(b)
	if err == nil && part != n {
		err = errBadHeader
	}
	return &partHead{part: n, previous: previous, bytes: b, err: err}, nil
}

// part replays one part.
func (r *reader) part(p, ahead *partHead, last bool) error {
	r.end = 0
	r.parts = append(r.parts, PartReport{Name: partName(p.part), Bytes: int64(len(p.bytes))})
	report := &r.parts[len(r.parts)-1]
	if p.err != nil {
		r.set(p.part, p.err)
		return nil
	}
	how := tailClosed
	if last {
		how = tailLost
		if r.cfg.SameBoot {
			how = tailWritten
		}
	}
	b, short := p.bytes, false
	if ahead != nil && ahead.err == nil && ahead.part == p.part+1 {
		short = int64(len(b)) < ahead.previous
		b = b[:min(int64(len(b)), max(ahead.previous, headerLen))]
	}
	end, damage, err := scan(b, p.part, how, func(group []byte) error {
		report.Groups++
		return r.replay(p.part, group)
	})
	if err != nil {
		return fmt.Errorf("replay part %x: %w", p.part, err)
	}
	if damage == nil && short {
		damage = errShort
	}
	report.Counted = end
	r.end = end
	if damage != nil {
		r.end = int64(len(b)) // the bad bytes count, so that the next start finds them too
	}
	r.set(p.part, damage)
	if last && !r.readOnly {
		r.settle(p.part)
	}
	return nil
}

// set notes that a part was read, and whether it has lost groups.
func (r *reader) set(part uint64, damage error) {
	r.old = append(r.old, oldPart{part: part, damaged: damage != nil})
	if damage != nil {
		r.parts[len(r.parts)-1].Err = damage
		r.damage = append(r.damage, Damage{Part: part, Err: fmt.Errorf("%s: %w", partName(part), damage)})
	}
}

// settle syncs the last part before the next one says how much of it counts: after
// a kill its end may be in the page cache only. If it cannot be synced and a power
// cut takes that end, the part is shorter than the next one says, which is damage.
func (r *reader) settle(part uint64) {
	f, err := r.cfg.FS.Update(filepath.Join(r.cfg.Dir, partName(part)))
	if err != nil {
		return
	}
	_ = f.Sync()
	_ = f.Close()
}

// PartReport is what Inspect found in a part.
type PartReport struct {
	Name    string
	Bytes   int64
	Counted int64 // bytes up to the end of the last group that counts
	Groups  int
	Err     error // nil = no group is missing
}

// Inspect reads the journal in dir as Open would, and changes nothing. Nobody may
// have it open.
func Inspect(dir string, sameBoot bool, visit func(part uint64, group []byte) error) ([]PartReport, error) {
	r := reader{cfg: Config{Dir: dir, FS: OS(), SameBoot: sameBoot}, replay: visit, readOnly: true}
	if err := r.run(); err != nil {
		return nil, fmt.Errorf("inspect journal: %w", err)
	}
	return r.parts, nil
}
