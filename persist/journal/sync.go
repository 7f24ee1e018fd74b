package journal

import (
	"errors"
	"fmt"
	"io/fs"
)

// Sync makes every group that was appended before the call survive a power cut and
// returns the number of the last one that does. On an error the part is sealed, none
// of the groups up to number may be taken for safe, and Append refuses until a later
// Sync has written them to a new part.
func (j *Journal) Sync() (number uint64, err error) {
	j.sync.Lock()
	defer j.sync.Unlock()
	return j.syncHeld()
}

// syncHeld is Sync with j.sync held.
func (j *Journal) syncHeld() (uint64, error) {
	m := &j.mu
	m.Lock()
	if m.closed {
		m.Unlock()
		return 0, ErrClosed
	}
	if m.sealed {
		defer m.Unlock()
		return m.groups, j.reseatLocked()
	}
	f, end, number := m.file, m.end, m.groups
	if m.synced == end {
		m.Unlock()
		return number, nil
	}
	m.Unlock()

	err := f.Sync() // appending goes on meanwhile

	m.Lock()
	defer m.Unlock()
	if err != nil {
		m.sealed = true
		if again := j.reseatLocked(); again != nil {
			return m.groups, fmt.Errorf("journal: sync part %x: %w", m.part, errors.Join(err, again))
		}
		return m.groups, nil
	}
	m.synced, m.onDisk = end, number
	j.forgetLocked()
	return number, nil
}

// forgetLocked lets go of the groups that are on disk.
func (j *Journal) forgetLocked() {
	m := &j.mu
	n := 0
	for n < len(m.kept) && m.kept[n].number <= m.onDisk {
		m.keptSize -= int64(len(m.kept[n].bytes))
		n++
	}
	rest := copy(m.kept, m.kept[n:])
	clear(m.kept[rest:])
	m.kept = m.kept[:rest]
	j.unsynced.Store(m.keptSize)
}

// reseatLocked moves everything since the last good sync into a new part. Nothing
// can be appended meanwhile: what is not synced must not be passed by.
func (j *Journal) reseatLocked() error {
	m := &j.mu
	old, oldFile := m.part, m.file
	if err := j.start(m.part+1, m.synced, m.kept); err != nil {
		return fmt.Errorf("journal: part %x after a failed sync: %w", old+1, err)
	}
	if oldFile != nil { // else Open has listed the part
		_ = oldFile.Close()
		j.old = append(j.old, oldPart{part: old})
	}
	return nil
}

// Rotate starts a new part. Every group that was appended before is then in a part
// up to through, and synced. Groups that come meanwhile wait for the disk.
func (j *Journal) Rotate() (through uint64, err error) {
	j.sync.Lock()
	defer j.sync.Unlock()
	if _, err := j.syncHeld(); err != nil { // most of the work, beside appending
		return 0, err
	}
	m := &j.mu
	m.Lock()
	defer m.Unlock()
	if m.synced != m.end {
		if err := m.file.Sync(); err != nil {
			m.sealed = true
			if again := j.reseatLocked(); again != nil {
				return 0, fmt.Errorf("journal: sync part %x: %w", m.part, errors.Join(err, again))
			}
			return m.part - 1, nil
		}
		m.synced, m.onDisk = m.end, m.groups
		j.forgetLocked()
	}
	old, oldFile := m.part, m.file
	if err := j.start(old+1, m.end, nil); err != nil {
		return 0, fmt.Errorf("journal: start part %x: %w", old+1, err)
	}
	_ = oldFile.Close()
	j.old = append(j.old, oldPart{part: old})
	return old, nil
}

// Drop removes the parts up to through, oldest first; the newest part stays. A
// damaged one is set aside instead.
func (j *Journal) Drop(through uint64) error {
	j.sync.Lock()
	defer j.sync.Unlock()
	dropped := false
	for len(j.old) > 0 && j.old[0].part <= through {
		if err := j.dropPart(j.old[0]); err != nil {
			return fmt.Errorf("journal: drop part %x: %w", j.old[0].part, err)
		}
		j.old = j.old[1:]
		dropped = true
	}
	if !dropped {
		return nil
	}
	if err := j.cfg.FS.SyncDir(j.cfg.Dir); err != nil {
		return fmt.Errorf("journal: drop parts: %w", err)
	}
	return nil
}

func (j *Journal) dropPart(o oldPart) error {
	var err error
	if o.damaged {
		aside := fmt.Sprintf("%s.corrupt-%d", j.path(o.part), j.cfg.Now().Unix())
		err = j.cfg.FS.Rename(j.path(o.part), aside)
	} else {
		err = j.cfg.FS.Remove(j.path(o.part))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
