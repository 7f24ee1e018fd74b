package persist

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/holdfast-edge/holdfast/persist/journal"
	"github.com/holdfast-edge/holdfast/persist/segment"
)

// Config is everything the log is told when it is opened.
type Config struct {
	// Dir holds everything the log writes; created 0700. One process at a time.
	Dir string
	// Shards is the number of sequencers. Default min(4, GOMAXPROCS); 1 to 64.
	Shards int
	// Now is the wall clock. Required: the log reads no clock of its own.
	Now func() time.Time
	// BootID names the kernel's current boot, so that a killed process is told from a
	// power cut. "": /proc/sys/kernel/random/boot_id; if that cannot be read, every
	// unclean start counts as a power cut.
	BootID string
	// Logger takes one line: level is info, warn or error. nil drops them.
	Logger func(level, msg string, kv ...any)
	// FS is the seam to the file system for everything but the segment files.
	// Its zero value is the real one.
	FS journal.FS
	// Hooks is that seam for the segment files.
	Hooks segment.Hooks
	// Sleeper is told when a thread waits for the disk. nil: nobody is.
	Sleeper Sleeper

	// GroupEvents bounds the events of one journal write. Default 512; 1 to 8,192.
	GroupEvents int
	// SyncInterval is how long a written event stays unsynced when no durable one asks
	// for it sooner. Default 250 ms; 10 ms to 10 s.
	SyncInterval time.Duration
	// CheckpointEvents bounds the events of one commit. Default 8,192; 64 to 65,536.
	CheckpointEvents int
	// CheckpointInterval is how long an event stays in memory and journal only.
	// Default 250 ms; 50 ms to 10 s.
	CheckpointInterval time.Duration
	// SegmentBytes and SegmentAge bound one segment file. Defaults 256 MiB, 1 min.
	SegmentBytes int64
	SegmentAge   time.Duration
	// DiskBytes bounds all segment files. Default 4 GiB; 64 MiB to 16 TiB.
	DiskBytes int64
	// CacheBytes bounds the blocks kept in memory. Default 64 MiB; 1 MiB to 1 TiB.
	CacheBytes int64
	// HeadAge is how long an idle channel keeps its position. Default 24 h; 1 h to 720 h.
	HeadAge time.Duration
	// IdempotencyAge and IdempotencyKeys bound what is remembered of idempotency keys,
	// by time and by number. Defaults 5 min (1 min to 24 h), 1,000,000 (1,000 to 100,000,000).
	IdempotencyAge  time.Duration
	IdempotencyKeys int
	// DurableWaiting bounds the durable events that await their sync. Default 8,192;
	// 64 to 65,536.
	DurableWaiting int

	// QueueEvents and QueueBytes bound what waits for the sequencers. Defaults 65,536
	// and 64 MiB. Beyond them Append answers ErrBusy.
	QueueEvents int
	QueueBytes  int64
	// UnsavedBytes bounds the events that are in journal and memory but not yet in a
	// segment. Default 256 MiB. Beyond three quarters of it Append answers ErrBusy
	// while checkpoints work; beyond all of it events are handed out unlogged.
	UnsavedBytes int64
	// JournalBytes is the size of one journal part. Default 64 MiB; 64 KiB to 1 GiB.
	JournalBytes int64
	// Resident is how long a head stays in memory after its last use. Default 1 min.
	Resident time.Duration
}

// Default is the shipped configuration without Dir and Now.
func Default() Config {
	return Config{
		Shards: min(4, runtime.GOMAXPROCS(0)), FS: journal.OS(),
		GroupEvents: 512, SyncInterval: 250 * time.Millisecond,
		CheckpointEvents: 8192, CheckpointInterval: 250 * time.Millisecond,
		SegmentBytes: 256 << 20, SegmentAge: time.Minute, DiskBytes: 4 << 30, CacheBytes: 64 << 20,
		HeadAge: 24 * time.Hour, IdempotencyAge: 5 * time.Minute, IdempotencyKeys: 1_000_000, DurableWaiting: 8192,
		QueueEvents: 64 << 10, QueueBytes: 64 << 20, UnsavedBytes: 256 << 20, JournalBytes: 64 << 20, Resident: time.Minute,
	}
}

// Validate reports every fault, joined.
func (c Config) Validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("persist: "+format, args...))
		}
	}
	need(c.Dir != "", "no directory")
	need(c.Now != nil, "no clock")
	for _, b := range []struct {
		name            string
		value, low, top int64
	}{
		{"shards", int64(c.Shards), 1, 64},
		{"replay.group_events", int64(c.GroupEvents), 1, 8192},
		{"replay.checkpoint_events", int64(c.CheckpointEvents), 64, 65536},
		{"replay.segment_bytes", c.SegmentBytes, 1 << 20, 4 << 30},
		{"replay.disk_bytes", c.DiskBytes, 1 << 20, 16 << 40},
		{"replay.cache_bytes", c.CacheBytes, 1 << 20, 1 << 40},
		{"replay.idempotency_keys", int64(c.IdempotencyKeys), 1000, 100_000_000},
		{"limits.durable_waiting", int64(c.DurableWaiting), 64, 65536},
		{"queue events", int64(c.QueueEvents), 1, 1 << 24},
		{"queue bytes", c.QueueBytes, 1 << 10, 1 << 40},
		{"unsaved bytes", c.UnsavedBytes, 1 << 10, 1 << 40},
		{"journal bytes", c.JournalBytes, 64 << 10, 1 << 30},
	} {
		need(b.value >= b.low && b.value <= b.top, "%s is %d, it must be %d to %d", b.name, b.value, b.low, b.top)
	}
	for _, b := range []struct {
		name            string
		value, low, top time.Duration
	}{
		{"replay.sync_interval", c.SyncInterval, 10 * time.Millisecond, 10 * time.Second},
		{"replay.checkpoint_interval", c.CheckpointInterval, 50 * time.Millisecond, 10 * time.Second},
		{"replay.segment_age", c.SegmentAge, 10 * time.Second, time.Hour},
		{"replay.head_age", c.HeadAge, time.Hour, 720 * time.Hour},
		{"replay.idempotency_age", c.IdempotencyAge, time.Minute, 24 * time.Hour},
		{"residence of heads", c.Resident, time.Second, time.Hour},
	} {
		need(b.value >= b.low && b.value <= b.top, "%s is %v, it must be %v to %v", b.name, b.value, b.low, b.top)
	}
	return errors.Join(faults...)
}
