package logging

import (
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how to log.
type Options struct {
	Out    io.Writer
	Format string       // "json", "text" or "auto": text if Out is a terminal
	Level  slog.Leveler // a *slog.LevelVar lets a reload change it
	Now    func() time.Time
}

// New returns a logger and the sampler in front of it; the caller has Sweep
// called about once a second and Flush at the end.
func New(o Options) (*slog.Logger, *Sampler) {
	options := &slog.HandlerOptions{Level: o.Level, ReplaceAttr: harmless}
	var h slog.Handler
	if o.Format == "text" || o.Format == "auto" && terminal(o.Out) {
		h = slog.NewTextHandler(o.Out, options)
	} else {
		h = slog.NewJSONHandler(o.Out, options)
	}
	s := newSampler(o.Now)
	return slog.New(&handler{next: h, sampler: s}), s
}

// Level converts logging.level; an unknown word is info.
func Level(word string) slog.Level {
	switch word {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// terminal says whether w is one: only a terminal answers to TCGETS.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
