package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/persist"
	"github.com/holdfast-edge/holdfast/router"
	"github.com/holdfast-edge/holdfast/tuning"
)

// logDir is the log's part of server.data_dir.
const logDir = "log"

// openLog opens the replay log; nil without an error when it is switched off.
func openLog(c *config.Config, spare *tuning.Spare, log *slog.Logger) (*persist.Log, error) {
	if !c.Replay.Enabled {
		return nil, nil //nolint:nilnil // a server without history
	}
	r := c.Replay
	cfg := persist.Default()
	cfg.Dir, cfg.Now = filepath.Join(c.Server.DataDir, logDir), time.Now
	cfg.Sleeper = spare
	cfg.Logger = func(level, msg string, kv ...any) { log.Log(context.Background(), slogLevel(level), msg, kv...) }
	cfg.GroupEvents, cfg.SyncInterval = r.GroupEvents, r.SyncInterval
	cfg.CheckpointEvents, cfg.CheckpointInterval = r.CheckpointEvents, r.CheckpointInterval
	cfg.SegmentBytes, cfg.SegmentAge = int64(r.SegmentBytes), r.SegmentAge
	cfg.DiskBytes, cfg.CacheBytes = int64(r.DiskBytes), int64(r.CacheBytes)
	cfg.HeadAge, cfg.IdempotencyAge, cfg.IdempotencyKeys = r.HeadAge, r.IdempotencyAge, r.IdempotencyKeys
	cfg.DurableWaiting = c.Limits.DurableWaiting
	l, err := persist.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("replay log in %s: %w", cfg.Dir, err)
	}
	return l, nil
}

func slogLevel(level string) slog.Level {
	switch level {
	case "error":
		return slog.LevelError
	case "warn":
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// replayLog makes the log what the router asks for. The two know nothing of each
// other; their plain types are the same.
type replayLog struct{ log *persist.Log }

var _ router.Log = replayLog{}

// logItem carries an event of the router through the log.
type logItem struct{ router.LogItem }

// Done implements persist.Item.
func (i logItem) Done(r persist.Result) {
	i.LogItem.Done(router.LogResult{
		Epoch: r.Epoch, Start: r.Start, Seq: r.Seq, Payload: r.Payload,
		Logged: r.Logged, Duplicate: r.Duplicate, Err: logError(r.Err),
	})
}

// logError translates the log's errors into those that the router names.
func logError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, persist.ErrBusy):
		return router.ErrBusy
	case errors.Is(err, persist.ErrDurableUnavailable), errors.Is(err, persist.ErrClosed):
		return router.ErrLogUnavailable
	case errors.Is(err, persist.ErrDurableWaiting):
		return router.ErrDurableWaiting
	case errors.Is(err, persist.ErrGone):
		return router.ErrGone
	default:
		return err
	}
}

func (l replayLog) Append(batch []router.LogAppend) error {
	events := make([]persist.Append, len(batch))
	for i := range batch {
		a := &batch[i]
		events[i] = persist.Append{
			Key: a.Key, Rule: persist.Rule(a.Rule), Durable: a.Durable, Cache: a.Cache,
			Origin: a.Origin, IdemKey: a.IdempotencyKey, Bytes: a.Bytes, Item: logItem{a.Item},
		}
	}
	return logError(l.log.Append(events))
}

func (l replayLog) Head(key string) (router.Position, bool) {
	at, resident := l.log.Head(key)
	return routerPosition(at), resident
}

func (l replayLog) Load(key string) (router.Position, error) {
	at, err := l.log.Load(key)
	return routerPosition(at), logError(err)
}

func (l replayLog) Last(key string) (router.LogEvent, time.Duration, bool) {
	e, left, ok := l.log.Last(key)
	return routerEvent(e), left, ok
}

func (l replayLog) Recover(key string, rule router.Rule, epoch string, from uint64, most int) (router.Position, string) {
	at, reason := l.log.Recover(key, persist.Rule(rule), epoch, from, most)
	return routerPosition(at), string(reason)
}

func (l replayLog) Rewind(key string, rule router.Rule, events int, age time.Duration) (router.Position, uint64) {
	at, from := l.log.Rewind(key, persist.Rule(rule), events, age)
	return routerPosition(at), from
}

func (l replayLog) Block(key string, seq uint64) (router.LogBlock, error) {
	b, err := l.log.Block(key, seq)
	if err != nil {
		return nil, logError(err)
	}
	return logBlock{b}, nil
}

func (l replayLog) Hot(key string, seq uint64) router.LogBlock {
	if b := l.log.Hot(key, seq); b != nil {
		return logBlock{b}
	}
	return nil
}

func (l replayLog) History(
	key string, rule router.Rule, epoch string, from uint64, all bool, limit int, visit func(router.LogEvent) bool,
) (router.Position, uint64, string) {
	at, oldest, reason := l.log.History(key, persist.Rule(rule), from, !all, epoch, limit, func(e persist.Event) bool {
		return visit(routerEvent(e))
	})
	return routerPosition(at), oldest, string(reason)
}

func (l replayLog) Answered(id []byte) (sum [32]byte, status int, body []byte, found bool, err error) {
	sum, status, body, found, err = l.log.Answered(id)
	return sum, status, body, found, logError(err)
}

func (l replayLog) Answer(id []byte, sum [32]byte, status int, body []byte) error {
	return logError(l.log.Answer(id, sum, status, body))
}

func routerPosition(p persist.Position) router.Position {
	return router.Position{Epoch: p.Epoch, Start: p.Start, Seq: p.Seq, Broken: p.Broken}
}

func routerEvent(e persist.Event) router.LogEvent {
	return router.LogEvent{Seq: e.Seq, TimeMS: e.TimeMS, Payload: e.Payload}
}

// logBlock is a block of the log as the router reads it.
type logBlock struct{ *persist.Block }

func (b logBlock) Span() (first, last uint64)    { return b.Block.First, b.Block.Last }
func (b logBlock) Frames(from, to uint64) []byte { return b.Payloads(from, to) }
func (b logBlock) Origin(seq uint64) string      { return string(b.Block.Origin(seq)) }
