package journaltest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Loss is what a power cut does to the writes that were not synced.
type Loss int

const (
	// LossNone: all of them reached the disk.
	LossNone Loss = iota
	// LossAll: none did.
	LossAll
	// LossTail: a beginning did.
	LossTail
	// LossRandom: any of them did, each whole or torn at 512 bytes.
	LossRandom
	// Killed is no power cut: everything is there, but for the end of the last write.
	Killed
	// Losses is the number of kinds.
	Losses
)

// write is a change of a file's content; size >= 0 is a truncation.
type write struct {
	off    int64
	data   []byte
	size   int64
	synced bool
}

// Image builds in dir what may be left of the disk when it stops after the first
// steps changes. It returns the last note before that; nil if there is none.
func (d *Disk) Image(dir string, steps int, loss Loss, rng *rand.Rand) (note any, err error) {
	d.mu.Lock()
	all := d.steps[:steps]
	d.mu.Unlock()

	writes := map[int][]write{}
	synced, current := map[string]int{}, map[string]int{} // names after the last directory sync, and now
	var pending []step                                    // changes of names since
	apply := func(names map[string]int, s step) {
		switch s.op {
		case "create":
			names[s.name] = s.inode
		case "rename":
			names[s.to] = names[s.name]
			delete(names, s.name)
		case "remove":
			delete(names, s.name)
		}
	}
	for _, s := range all {
		switch s.op {
		case "note":
			note = s.note
		case "write":
			writes[s.inode] = append(writes[s.inode], write{off: s.off, data: s.data, size: -1})
		case "truncate":
			writes[s.inode] = append(writes[s.inode], write{size: s.off})
		case "sync":
			for i := range writes[s.inode] {
				writes[s.inode][i].synced = true
			}
		case "create", "rename", "remove":
			pending = append(pending, s)
			apply(current, s)
		case "syncdir":
			rest := pending[:0:0]
			for _, p := range pending {
				if filepath.Dir(p.name) == s.name {
					apply(synced, p)
				} else {
					rest = append(rest, p)
				}
			}
			pending = rest
		}
	}
	names := current
	switch loss {
	case LossAll:
		names = synced
	case LossTail, LossRandom:
		names = synced
		for _, p := range pending[:rng.IntN(len(pending)+1)] {
			apply(names, p)
		}
	}
	for name, inode := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		last := len(all) > 0 && all[len(all)-1].op == "write" && all[len(all)-1].inode == inode
		if err := os.WriteFile(path, content(writes[inode], loss, last, rng), 0o600); err != nil {
			return nil, err
		}
	}
	return note, nil
}

// content is what a file has after its writes.
func content(writes []write, loss Loss, last bool, rng *rand.Rand) []byte {
	unsynced := 0
	for _, w := range writes {
		if !w.synced {
			unsynced++
		}
	}
	tail := 0
	if loss == LossTail {
		tail = rng.IntN(unsynced + 1)
	}
	var b []byte
	for i, w := range writes {
		data := w.data
		if !w.synced {
			switch loss {
			case LossAll:
				continue
			case LossTail:
				if tail == 0 {
					continue
				}
				tail--
			case LossRandom:
				if rng.IntN(3) == 0 {
					continue
				}
				if rng.IntN(2) == 0 {
					b = tear(b, w, rng)
					continue
				}
			}
		}
		if loss == Killed && last && i == len(writes)-1 {
			data = data[:rng.IntN(len(data)+1)]
		}
		b = put(b, w, data)
	}
	return b
}

func put(b []byte, w write, data []byte) []byte {
	if w.size >= 0 {
		return grow(b, int(w.size))[:w.size]
	}
	b = grow(b, int(w.off)+len(data))
	copy(b[w.off:], data)
	return b
}

// tear puts some of the sectors of a write; the size has grown all the same.
func tear(b []byte, w write, rng *rand.Rand) []byte {
	if w.size >= 0 {
		return b
	}
	const sector = 512
	b = grow(b, int(w.off)+len(w.data))
	for at := 0; at < len(w.data); {
		end := min(len(w.data), at+sector-int(w.off+int64(at))%sector)
		if rng.IntN(2) == 0 {
			copy(b[int(w.off)+at:], w.data[at:end])
		}
		at = end
	}
	return b
}

func grow(b []byte, size int) []byte {
	if len(b) >= size {
		return b
	}
	return append(b, make([]byte, size-len(b))...)
}
