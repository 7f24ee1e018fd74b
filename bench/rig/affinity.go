package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// cpus says which CPU the servers have for themselves and which one the client has.
type cpus struct{ server, client int }

// pinnedMark tells a re-executed rig which CPUs were allowed before it was pinned.
const pinnedMark = "HOLDFAST_RIG_PINNED"

// pin puts this process on the client's CPU, and returns where servers go. It executes the rig anew, since a running
// Go process has threads already and GOMAXPROCS was set when it started.
func pin(serverCPU, clientCPU int) (cpus, error) {
	if mark := os.Getenv(pinnedMark); mark != "" {
		var c cpus
		if _, err := fmt.Sscanf(mark, "%d,%d", &c.server, &c.client); err != nil {
			return c, fmt.Errorf("%s=%q: %w", pinnedMark, mark, err)
		}
		return c, os.Unsetenv(pinnedMark)
	}
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return cpus{}, fmt.Errorf("read CPU affinity: %w", err)
	}
	c, err := chooseCPUs(&allowed, serverCPU, clientCPU)
	if err != nil {
		return c, err
	}
	if err := setAffinity(c.client); err != nil {
		return c, err
	}
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	env := append(os.Environ(), fmt.Sprintf("%s=%d,%d", pinnedMark, c.server, c.client))
	return c, fmt.Errorf("execute the rig anew: %w", unix.Exec(self, os.Args, env))
}

func chooseCPUs(allowed *unix.CPUSet, server, client int) (cpus, error) {
	if allowed.Count() < 2 {
		return cpus{}, fmt.Errorf("%w: one CPU: server and client would share it; two are needed", errRefused)
	}
	const most = 1024
	if server < 0 {
		for i := most - 1; i >= 0 && server < 0; i-- {
			if allowed.IsSet(i) && i != client {
				server = i
			}
		}
	}
	if client < 0 {
		for i := 0; i < most && client < 0; i++ {
			if allowed.IsSet(i) && i != server {
				client = i
			}
		}
	}
	if server == client || !allowed.IsSet(server) || !allowed.IsSet(client) {
		return cpus{}, fmt.Errorf("%w: server on CPU %d, client on CPU %d: two different CPUs that this process may use are needed", errRefused, server, client)
	}
	return cpus{server, client}, nil
}

// setAffinity moves the calling thread to some CPUs; threads and processes that it starts inherit that.
func setAffinity(cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("move to CPU %v: %w", cpus, err)
	}
	return nil
}
