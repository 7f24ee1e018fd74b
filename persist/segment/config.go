package segment

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Class is a retention class: how long the longest-kept records of a file live.
type Class uint8

// Classes is the number of retention classes: at most 10 minutes, 1 hour, 24
// hours, and longer.
const Classes = 4

var classAges = [Classes]time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour, 720 * time.Hour}

// classSpans: how much longer than SegmentAge a file of the class takes records.
// A file lives for its class's age after its last record, so its span is what is
// kept too long: a tenth in the short classes, 4 % and 0.6 % in the long ones;
// and the number of files to look through stays at 11, 11, 25 and 181.
var classSpans = [Classes]time.Duration{1, 6, 60, 240}

// ClassOf is the class of records that a rule keeps for age.
func ClassOf(age time.Duration) Class {
	for c, limit := range classAges {
		if age <= limit {
			return Class(c)
		}
	}
	return Classes - 1
}

// Config of a Store. The zero value of a field means what its comment says.
type Config struct {
	// Dir is the directory of the files. It is created if its parent exists.
	Dir string
	// SegmentBytes: a file that has grown this far is sealed. Unit: bytes of pages.
	// 0 = 256 MiB; at least 1 MiB. It is lowered to a sixteenth of DiskBytes, so
	// that there is always an old file to unlink.
	SegmentBytes int64
	// SegmentAge: a file of the shortest class takes records for this long, one of
	// the longer classes for 6, 60 and 240 times as long. 0 = 1 minute.
	SegmentAge time.Duration
	// DiskBytes bounds all files together; Retain unlinks the oldest beyond it. 0 = 4 GiB.
	DiskBytes int64
	// HeadBytes bounds heads.db. It costs address space, not memory. 0 = 16 GiB.
	HeadBytes int64
	// CacheBytes bounds the cached blocks. 0 = 64 MiB.
	CacheBytes int64
	// MaxAge: how long a class's records are kept. 0 = 10 m, 1 h, 24 h, 720 h.
	MaxAge [Classes]time.Duration
	// KeepKeys bounds the idempotency keys; the oldest are dropped beyond. 0 = 1,000,000.
	KeepKeys int

	// Logger takes what the operator should know; levels debug, info, warn and
	// error. nil = nobody listens. Called from any goroutine.
	Logger func(level, msg string, kv ...any)
	// Damaged is told of damage that is found after Open, on the goroutine that met
	// it; it must not call the Store. When File is "heads.db" all heads, keys and
	// named values are gone. nil = nobody listens.
	Damaged func(Damage)
	// Now is the clock. Required.
	Now func() time.Time
	// Hooks let a test stand between the store and the disk.
	Hooks Hooks
}

// Hooks stand between the store and the disk. A nil hook does nothing.
type Hooks struct {
	// OpenFile opens the files that bbolt writes. nil = os.OpenFile.
	OpenFile func(name string, flag int, perm os.FileMode) (*os.File, error)
	// Step is called before each step that changes the directory or a file, and
	// after a commit. Its error fails the step as the system call would have.
	Step func(step Step, path string) error
}

// Step names a point at which Hooks.Step is called.
type Step string

const (
	StepCreate    Step = "create"    // before a file is created aside
	StepRename    Step = "rename"    // before a file gets its name
	StepSyncDir   Step = "syncdir"   // before the directory is synced
	StepCommit    Step = "commit"    // before bbolt writes a transaction
	StepCommitted Step = "committed" // after it has; an error here is ignored
	StepUnlink    Step = "unlink"    // before a file is unlinked
)

const (
	defaultSegmentBytes = 256 << 20
	defaultDiskBytes    = 4 << 30
	defaultHeadBytes    = 16 << 30
	defaultCacheBytes   = 64 << 20
	defaultKeepKeys     = 1_000_000
	minSegmentBytes     = 1 << 20
)

// prepared fills in the defaults and returns all faults.
func (c Config) prepared() (Config, error) {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("segment: Config.Dir is empty"))
	}
	if c.Now == nil {
		faults = append(faults, errors.New("segment: Config.Now is nil"))
	}
	for _, v := range []struct {
		name string
		n    int64
	}{
		{"SegmentBytes", c.SegmentBytes}, {"SegmentAge", int64(c.SegmentAge)}, {"DiskBytes", c.DiskBytes},
		{"HeadBytes", c.HeadBytes}, {"CacheBytes", c.CacheBytes}, {"KeepKeys", int64(c.KeepKeys)},
	} {
		if v.n < 0 {
			faults = append(faults, fmt.Errorf("segment: Config.%s is negative", v.name))
		}
	}
	c.DiskBytes = orDefault(c.DiskBytes, defaultDiskBytes)
	c.SegmentBytes = orDefault(c.SegmentBytes, defaultSegmentBytes)
	c.SegmentBytes = max(min(c.SegmentBytes, c.DiskBytes/16), minSegmentBytes)
	c.SegmentAge = orDefault(c.SegmentAge, time.Minute)
	c.HeadBytes = orDefault(c.HeadBytes, defaultHeadBytes)
	c.CacheBytes = orDefault(c.CacheBytes, defaultCacheBytes)
	c.KeepKeys = orDefault(c.KeepKeys, defaultKeepKeys)
	for i := range c.MaxAge {
		c.MaxAge[i] = orDefault(c.MaxAge[i], classAges[i])
	}
	if c.Logger == nil {
		c.Logger = func(string, string, ...any) {}
	}
	if c.Damaged == nil {
		c.Damaged = func(Damage) {}
	}
	if c.Hooks.OpenFile == nil {
		c.Hooks.OpenFile = os.OpenFile
	}
	if c.Hooks.Step == nil {
		c.Hooks.Step = func(Step, string) error { return nil }
	}
	return c, errors.Join(faults...)
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}
