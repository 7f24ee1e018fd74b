package persist

import (
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/holdfast-edge/holdfast/persist/segment"
)

// A log whose files cannot be opened now, on a full or failing disk, stands by: it
// hands out events unlogged, knows no position, and tries again every second. Until
// it has opened them every channel is broken; then all begin new epochs.
//
// While standby is set nobody but the opener touches files, tables and index.

// ErrUnavailable is returned while the log's files cannot be opened.
var ErrUnavailable = errors.New("persist: the log cannot be opened now")

// retryOpen is how long after a failed opening the next one is tried.
const retryOpen = time.Second

// mayPass tells whether what kept the log from opening may go away by itself. What
// an operator has to mend, a log in use or a wrong directory, ends the start.
func mayPass(err error) bool {
	if errors.Is(err, ErrInUse) {
		return false
	}
	passing := []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ENOMEM, segment.ErrUnavailable, segment.ErrFull,
	}
	return slices.ContainsFunc(passing, func(p error) bool { return errors.Is(err, p) })
}

// standBy begins without files.
func (l *Log) standBy(err error) {
	l.stats.errors.count("open", err)
	l.warn("the log cannot be opened; events are handed out unlogged until it can", "err", err)
	l.meta.Store(&meta{id: newEpoch()})
	l.standby.Store(true)
	l.opener.Add(1)
	go l.reopen()
}

// reopen tries until the files are open or the log is closed.
func (l *Log) reopen() {
	defer l.opener.Done()
	tick := time.NewTicker(retryOpen)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.stopOpener:
			return
		}
		if err := l.restore(true); err != nil {
			l.stats.errors.count("open", err)
			l.closeFiles()
			l.forget()
			continue
		}
		l.startKeepers()
		l.standby.Store(false)
		l.info("the log is open")
		return
	}
}

// forget takes back what a failed restore has filled in.
func (l *Log) forget() {
	for i, s := range l.shards {
		fresh := newShard(l, i)
		s.channels, s.ring, s.dirty = fresh.channels, nil, nil
	}
	l.keys.fresh = map[string]keyValue{}
	l.unsaved.Store(0)
	l.unsavedEvents.Store(0)
	l.stats.resident.Store(0)
}

// stepStandby hands out the next events without a log.
func (s *shard) stepStandby() {
	l := s.log
	epoch := l.meta.Load().id
	for n := 0; s.done < len(s.work) && n < l.cfg.GroupEvents; n++ {
		e := &s.work[s.done]
		s.done++
		l.queued.release(1, e.size())
		if e.asksDurable() {
			l.durable.Add(-1)
			e.Item.Done(Result{Err: ErrDurableUnavailable})
			continue
		}
		r := Result{}
		if e.Rule.Events > 0 {
			r.Epoch = epoch
			l.stats.unlogged.Add(1)
			// After a kill the next start must not take the old epochs for continued.
			if err := l.mark.raise(true); err != nil {
				l.stats.errors.count("mark", err)
			}
		}
		r.Payload = e.Item.AppendPayload(nil, r.Epoch, 0)
		e.Item.Done(r)
	}
}

// lost is the position of every channel while the log stands by.
func (l *Log) lost() Position { return Position{Epoch: l.meta.Load().id, Broken: true} }
