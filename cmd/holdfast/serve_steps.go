package main

import (
	"context"

	"github.com/holdfast-edge/holdfast/cmd/holdfast/admin"
	"github.com/holdfast-edge/holdfast/cmd/holdfast/config"
)

// worker is a goroutine of one step.
type worker struct {
	run    func(ctx context.Context)
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *worker) start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go func() {
		defer close(w.done)
		w.run(ctx)
	}()
	return nil
}

// stop waits for as long as the step may take; run ends at once when it is told.
func (w *worker) stop(context.Context) error {
	w.cancel()
	<-w.done
	return nil
}

// adminListener is the step of admin.listen; "" makes it empty.
type adminListener struct {
	s      *service
	server *admin.Server
}

func (a *adminListener) start(context.Context) error {
	cfg := a.s.cfg
	if cfg.Admin.Listen == "" {
		return nil
	}
	network, address, err := config.ListenAddress(cfg.Admin.Listen)
	if err != nil {
		return err
	}
	l, err := admin.Listen(network, address)
	if err != nil {
		return err
	}
	a.server = admin.New(admin.Options{
		Hosts:    cfg.Admin.Hosts,
		Token:    cfg.AdminToken.Reveal(),
		Pprof:    cfg.Admin.Pprof,
		Gatherer: a.s.registry,
		Live:     a.s.live,
		Ready:    a.s.ready,
		Log:      a.s.log,
	})
	a.s.log.Info("admin listens", "listener", l.Addr().String())
	go func() {
		if err := a.server.Serve(l); err != nil {
			a.s.fail(err)
		}
	}()
	return nil
}

func (a *adminListener) stop(ctx context.Context) error {
	if a.server == nil {
		return nil
	}
	return a.server.Shutdown(ctx)
}
