package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
)

// profileRows are the rows whose load can be profiled: it goes on for as long as the profile lasts.
var profileRows = []string{"handshake", "fanout1", "fanout32", "latency", "plain"}

// runProfile puts the load of one row on holdfast and stores a CPU profile taken meanwhile by its admin listener.
func runProfile(ctx context.Context, args []string, out, progress io.Writer) (bool, error) {
	p := defaultPlan()
	fs := flag.NewFlagSet("rig profile", flag.ContinueOnError)
	fs.SetOutput(progress)
	p.register(fs)
	name := fs.String("row", "fanout1", fmt.Sprintf("load: one of %v", profileRows))
	length := fs.Duration("seconds", 5*time.Second, "length of the profile")
	file := fs.String("o", "cpu.pprof", "file to write; read it with: go tool pprof -top FILE")
	if err := fs.Parse(args); err != nil {
		return false, fmt.Errorf("%w: %w", errRefused, err)
	}
	if !slices.Contains(profileRows, *name) {
		return false, fmt.Errorf("%w: -row is one of %v", errRefused, profileRows)
	}
	if err := p.check(); err != nil {
		return false, err
	}
	cpus, err := pin(p.serverCPU, p.clientCPU)
	if err != nil {
		return false, err
	}
	ts, clean, err := p.targets(progress, "holdfast")
	if err != nil {
		return false, err
	}
	defer clean()
	t := ts[0]
	t.extra = []string{"--set", "admin.pprof=true"}

	// Long enough that the load covers the profile, which begins when the server has been up for a few seconds.
	p.ServerCPU = *length + 6*time.Second
	p.Waves = int((*length+6*time.Second)/time.Second) * 2
	p.Rows, p.PublishFor = []string{*name}, *length+6*time.Second
	p.Broadcasts = p.PerSecond * int((*length+6*time.Second)/time.Second)
	b := &bench{ctx: ctx, plan: p, cpus: cpus}
	done := make(chan error, 1)
	b.started = func(srv *server) { go func() { done <- fetchProfile(ctx, srv.admin, *length, *file) }() }
	e := experiments[slices.IndexFunc(experiments, func(e experiment) bool { return slices.Contains(e.rows, *name) })]
	samples, err := e.measure(b, t)
	if err != nil {
		return false, err
	}
	if err := <-done; err != nil {
		return false, err
	}
	fmt.Fprintf(out, "%s %v under the profiler (no figure to quote); profile: %s\n", *name, samples[*name].Value, *file)
	return true, nil
}

func fetchProfile(ctx context.Context, admin int, length time.Duration, file string) error {
	time.Sleep(3 * time.Second) // the crowd connects and warms up
	url := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", admin, int(length/time.Second))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s from %s", resp.Status, url)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
