package persist

import (
	"errors"
	"syscall"
)

// retryMS is how long after a failed write the next one is tried.
const retryMS = 1000

// canWrite tells whether a group should be written. Between two tries of a log that
// cannot, events are handed out unlogged without asking the disk.
func (l *Log) canWrite(nowMS int64) bool {
	if l.unready.Load() {
		l.retryAt.Store(nowMS + retryMS)
		return false
	}
	if l.unsaved.Load() > l.cfg.UnsavedBytes {
		if l.retryAt.Load() == 0 {
			l.warn("more events wait for a checkpoint than may be kept in memory; events are handed out unlogged",
				"limit", l.cfg.UnsavedBytes)
		}
		l.stats.errors.count("unsaved", nil)
		l.retryAt.Store(nowMS + retryMS)
		return false
	}
	return !l.degraded(nowMS)
}

// degraded tells whether the last write failed less than a second ago. A clock that
// was set back does not make the second longer.
func (l *Log) degraded(nowMS int64) bool {
	at := l.retryAt.Load()
	return at != 0 && nowMS < at && at-nowMS <= retryMS
}

func (l *Log) writeFailed(op string, err error, nowMS int64) {
	l.stats.errors.count(op, err)
	if l.retryAt.Swap(nowMS+retryMS) == 0 {
		l.warn("the journal cannot be written; events are handed out unlogged, durable ones are refused", "err", err)
	}
}

func (l *Log) writeWorked() {
	if l.retryAt.Load() != 0 && l.retryAt.Swap(0) != 0 {
		l.info("the journal can be written again")
	}
}

func (l *Log) readFailed(op string, err error) {
	l.stats.errors.count(op, err)
	l.warn("the log has an error", "op", op, "err", err)
}

func (l *Log) info(msg string, kv ...any) { l.say("info", msg, kv...) }
func (l *Log) warn(msg string, kv ...any) { l.say("warn", msg, kv...) }

func (l *Log) say(level, msg string, kv ...any) {
	if l.cfg.Logger != nil {
		l.cfg.Logger(level, msg, kv...)
	}
}

// errnoOf is the label of an error: its errno if it has a known one.
func errnoOf(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "ENOSPC"
	case errors.Is(err, syscall.EDQUOT):
		return "EDQUOT"
	case errors.Is(err, syscall.EIO):
		return "EIO"
	default:
		return "other"
	}
}
