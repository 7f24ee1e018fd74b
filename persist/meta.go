package persist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-edge/holdfast/persist/journal"
)

// meta is what the log knows of itself from one start to the next; the file `meta`,
// replaced as a whole:
//
//	| "hfmeta" | version u16 | life u32 | hard u32 | clean u8 | id length u8 | boot length u8 | zero u8 | salt u64 | id | boot | crc32c u32 |
type meta struct {
	// id is the epoch of every channel that has none of its own.
	id string
	// life counts the times that epochs could not be continued: heads of an earlier
	// life get a new epoch, unless they are durable.
	life uint32
	// salt makes the epochs that a life begins with its own, even if an earlier start
	// counted the same life and could not write it down.
	salt uint64
	// hard is the last life that ended the durable heads' epochs as well.
	hard uint32
	// boot is the kernel's boot during which the log was last open.
	boot string
	// clean: everything that was handed out is on disk, and nobody writes.
	clean bool
}

const (
	metaFile    = "meta"
	metaMagic   = "hfmeta"
	metaVersion = 1
	metaHeader  = 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m meta) encode() []byte {
	b := append([]byte(metaMagic), 0, 0)
	binary.LittleEndian.PutUint16(b[6:], metaVersion)
	b = binary.LittleEndian.AppendUint32(b, m.life)
	b = binary.LittleEndian.AppendUint32(b, m.hard)
	clean := uint8(0)
	if m.clean {
		clean = 1
	}
	b = append(b, clean, uint8(len(m.id)), uint8(len(m.boot)), 0)
	b = binary.LittleEndian.AppendUint64(b, m.salt)
	b = append(append(b, m.id...), m.boot...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMeta(b []byte) (meta, error) {
	bad := func(what string) (meta, error) { return meta{}, fmt.Errorf("%w: meta: %s", ErrDamaged, what) }
	if len(b) < metaHeader+4 || string(b[:6]) != metaMagic {
		return bad("not the file")
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[len(body):]) {
		return bad("checksum")
	}
	if binary.LittleEndian.Uint16(b[6:]) != metaVersion {
		return bad("version")
	}
	id, boot := int(b[17]), int(b[18])
	if len(body) != metaHeader+id+boot || b[16] > 1 || id < 8 || id > maxEpoch {
		return bad("lengths")
	}
	return meta{
		life: binary.LittleEndian.Uint32(b[8:]), hard: binary.LittleEndian.Uint32(b[12:]), clean: b[16] == 1,
		salt: binary.LittleEndian.Uint64(b[20:]),
		id:   string(body[metaHeader : metaHeader+id]), boot: string(body[metaHeader+id:]),
	}, nil
}

// readMeta returns the stored meta. A missing or damaged file has the zero meta,
// and fresh tells whether the directory had no log at all.
func readMeta(files journal.FS, dir string) (m meta, fresh bool, err error) {
	b, err := files.ReadFile(filepath.Join(dir, metaFile))
	if errors.Is(err, fs.ErrNotExist) {
		return meta{}, true, nil
	}
	if err != nil {
		return meta{}, false, err
	}
	m, err = decodeMeta(b)
	return m, false, err
}

func writeMeta(files journal.FS, dir string, m meta) error {
	f, err := files.Replace(dir, metaFile, m.encode())
	if err != nil {
		return fmt.Errorf("persist: write meta: %w", err)
	}
	return f.Close()
}

// bootID is the kernel's name of its current boot; "" when it has none.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	id := strings.TrimSpace(string(b))
	if err != nil || len(id) > 255 {
		return ""
	}
	return id
}
