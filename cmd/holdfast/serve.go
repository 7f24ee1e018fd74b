package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/admin"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/logging"
	"github.com/holdfast-edge/holdfast/tuning"
)

type serveCommand struct {
	configFlags `embed:""`
}

func (c *serveCommand) run(p *process) int {
	in := c.input(p.env)
	cfg, ok := p.load(in)
	if !ok {
		return exitUsage
	}
	s := newService(p, in, cfg)
	signals, stop := p.signals()
	defer stop()
	return s.run(signals)
}

// phase is where the process stands; it only moves down this list.
type phase int32

const (
	phaseStarting phase = iota
	phaseServing
	phaseStopping
)

// service is one run of serve.
type service struct {
	// Immutable after newService.
	in       config.Input // for the next reload
	log      *slog.Logger
	level    *slog.LevelVar
	sampler  *logging.Sampler
	registry *prometheus.Registry
	reloaded prometheus.Gauge
	notify   notifier
	build    func(runtimeDeps) (Runtime, error)
	now      func() time.Time
	failed   chan error // capacity 1: the first failure of a part

	// Owned by the goroutine of run.
	cfg     *config.Config
	runtime Runtime

	// Atomic; any goroutine.
	phase atomic.Int32
}

func newService(p *process, in config.Input, cfg *config.Config) *service {
	level := new(slog.LevelVar)
	level.Set(logging.Level(cfg.Logging.Level))
	log, sampler := logging.New(logging.Options{Out: p.err, Format: cfg.Logging.Format, Level: level, Now: p.now})
	s := &service{
		in: in, cfg: cfg, log: log, level: level, sampler: sampler,
		registry: prometheus.NewRegistry(),
		notify:   notifier{log},
		build:    p.newRuntime,
		now:      p.now,
		failed:   make(chan error, 1),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_config_reload_success_timestamp_seconds",
			Help: "Unix time of the last configuration that was taken: at start, or by SIGHUP.",
		}),
	}
	s.registry.MustRegister(s.reloaded, admin.ReadBuildInfo(version).Collector())
	s.registry.MustRegister(processCollectors(s.now())...)
	return s
}

// run starts the steps, serves until a signal or a failure, and stops them.
func (s *service) run(signals <-chan os.Signal) int {
	defer s.sampler.Flush()
	build := admin.ReadBuildInfo(version)
	s.log.Info("holdfast " + build.Version + " starts, revision " + build.Revision)
	s.warn()

	runtime, err := s.build(runtimeDeps{Config: s.cfg, Log: s.log, Registry: s.registry})
	if err != nil {
		s.log.Error("the server cannot be built", "err", err)
		return exitFailure
	}
	s.runtime = runtime
	stop, err := startSteps(s.steps(), s.log)
	if err != nil {
		s.log.Error("the server does not start", "err", err)
		return exitFailure
	}
	s.phase.Store(int32(phaseServing))
	s.reloaded.Set(float64(s.now().UnixMilli()) / 1000)
	s.notify.ready()
	s.log.Info("holdfast serves", "listener", s.cfg.Server.Listen)
	return s.serve(signals, stop)
}

// steps is the order of starting; stopping is the reverse. The admin listener
// and the watchdog come before the runtime, so that both go on while that
// starts and stops.
func (s *service) steps() []step {
	const soon = 5 * time.Second
	// A server that needs all of its time must leave some to the steps above it.
	timeout := s.cfg.Server.ShutdownTimeout
	drain := timeout - min(timeout/10, time.Second)
	sweeper := &worker{run: s.sweep}
	tidy := &worker{run: s.tidy}
	watchdog := &worker{run: func(ctx context.Context) {
		s.notify.watch(ctx, func() bool { return s.live() == nil })
	}}
	listener := &adminListener{s: s}
	return []step{
		{"log sampler", sweeper.start, sweeper.stop, soon, soon},
		{"memory", tidy.start, tidy.stop, soon, soon},
		{"data directory", s.makeDataDir, nil, soon, soon},
		{"admin listener", listener.start, listener.stop, soon, soon},
		{"watchdog", watchdog.start, watchdog.stop, soon, soon},
		{"server", s.runtime.Start, s.runtime.Stop, 30 * time.Second, drain},
	}
}

// serve waits for signals. The stop runs beside it, so that a second signal
// can end the process at once.
func (s *service) serve(signals <-chan os.Signal, stop func(context.Context) error) int {
	var stopped chan error // nil until the stop began
	code := exitOK
	begin := func() {
		s.phase.Store(int32(phaseStopping))
		s.notify.stopping()
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Server.ShutdownTimeout)
		stopped = make(chan error, 1)
		go func() {
			defer cancel()
			stopped <- stop(ctx)
		}()
	}
	begun := s.now()
	for {
		select {
		case signal := <-signals:
			switch {
			case stopped != nil && signal != syscall.SIGHUP:
				s.log.Error("stopped at once by a second signal", "reason", signal.String())
				return exitFailure
			case stopped != nil:
			case signal == syscall.SIGHUP:
				s.reload()
			default:
				begun = s.now()
				s.log.Info("holdfast stops", "reason", signal.String(), "limit", s.cfg.Server.ShutdownTimeout.String())
				begin()
			}
		case err := <-s.failed:
			s.log.Error("the server failed", "err", err)
			code = exitFailure
			if stopped == nil {
				begin()
			}
		case err := <-stopped:
			if err != nil {
				code = exitFailure
			}
			s.log.Info("holdfast stopped", "code", code, "dur_ms", s.now().Sub(begun).Milliseconds())
			return code
		}
	}
}

// fail ends the process in order with exit code 1. Any goroutine; the first
// failure counts.
func (s *service) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// reload reads the configuration again; with any fault the running one stays.
func (s *service) reload() {
	s.notify.reloading()
	defer s.notify.ready()
	next, err := config.Load(s.in)
	if err != nil {
		s.log.Error("the configuration was not reloaded: check-config lists its faults", "err", err)
		return
	}
	merged, changed, fixed, err := s.cfg.Reloaded(next)
	if err != nil {
		s.log.Error("the configuration was not reloaded", "err", err)
		return
	}
	if len(fixed) > 0 {
		s.log.Warn("changed keys that only a restart applies", "knob", strings.Join(fixed, ", "))
	}
	if err := s.runtime.Reload(merged); err != nil {
		s.log.Error("the configuration was not reloaded", "err", err)
		return
	}
	s.cfg = merged
	s.level.Set(logging.Level(merged.Logging.Level))
	s.reloaded.Set(float64(s.now().UnixMilli()) / 1000)
	s.log.Info("the configuration was reloaded", "knob", strings.Join(changed, ", "))
	s.warn()
}

// warn logs what works and deserves a look.
func (s *service) warn() {
	for _, w := range s.cfg.Warnings() {
		args := []any{"knob", w.Knob}
		if w.App != "" {
			args = append(args, "app", w.App)
		}
		if w.Limit != "" {
			args = append(args, "limit", w.Limit, "actual", w.Actual)
		}
		s.log.Warn(w.Msg, args...)
	}
}

func (s *service) makeDataDir(context.Context) error {
	return os.MkdirAll(s.cfg.Server.DataDir, 0o700)
}

// sweep ends the windows of the log's sampler.
func (s *service) sweep(ctx context.Context) { everySecond(ctx, s.sampler.Sweep) }

// tidy gives memory back to the kernel after a busy time.
func (s *service) tidy(ctx context.Context) {
	look := tuning.NewTidy()
	everySecond(ctx, func() {
		if look.Look(s.now()) {
			s.log.Debug("memory of a busy time given back")
		}
	})
}

// everySecond calls do until ctx ends.
func everySecond(ctx context.Context, do func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

var (
	errStarting = errors.New("starting")
	errStopping = errors.New("stopping")
)

// live is /livez: a process that starts or stops is alive.
func (s *service) live() error {
	if phase(s.phase.Load()) != phaseServing {
		return nil
	}
	return s.runtime.Live()
}

// ready is /readyz.
func (s *service) ready() error {
	switch phase(s.phase.Load()) {
	case phaseStarting:
		return errStarting
	case phaseStopping:
		return errStopping
	}
	return s.runtime.Ready()
}
