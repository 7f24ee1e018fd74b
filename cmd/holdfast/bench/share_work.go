package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/holdfast-edge/holdfast/tuning"
	"github.com/holdfast-edge/holdfast/tuning/statm"
)

// memory is the resident size of a process, in bytes.
type memory struct {
	Before int64 `json:"before"`  // ready, nothing open
	Opened int64 `json:"opened"`  // all connections of the first wave open or failed; 0: it did not come to that
	AtOpen int64 `json:"at_open"` // connections at that time
}

// outcome is what one process hands to the first one.
type outcome struct {
	Tally  *tally `json:"tally"`
	Memory memory `json:"memory"`
}

// work runs this process's loops to the end of the scenario, or until ctx ends,
// which stops the whole run.
func (c *crew) work(ctx context.Context) (*outcome, error) {
	p := &c.params
	loops := make([]*loop, p.Threads)
	for i := range loops {
		var err error
		if loops[i], err = c.newLoop(i); err != nil {
			return nil, err
		}
	}
	var out outcome
	var opened atomic.Int32
	out.Memory.Before = residentBytes()
	for _, l := range loops {
		l.onOpened = func() {
			if int(opened.Add(1)) == len(loops) {
				out.Memory.Opened = residentBytes()
				for _, one := range loops {
					out.Memory.AtOpen += int64(one.slot.connected.Load())
				}
			}
		}
	}
	end := context.AfterFunc(ctx, c.board.stop)
	defer end()
	faults := make([]error, len(loops))
	var running sync.WaitGroup
	for i, l := range loops {
		running.Go(func() {
			if faults[i] = l.work(); faults[i] != nil {
				c.board.stop()
			}
		})
	}
	running.Wait()
	out.Tally = newTally(0)
	for _, l := range loops {
		out.Tally.merge(l.tally)
	}
	return &out, errors.Join(faults...)
}

// prepareDescriptors raises the limit and sizes the table for a process's share.
func prepareDescriptors(p *Params) (limit uint64, err error) {
	limit, err = tuning.RaiseNofile()
	if err != nil {
		return 0, err
	}
	if need := uint64(descriptorsOf(p)); need <= limit {
		// Costs only pauses when it fails.
		_ = tuning.GrowDescriptorTable(need)
	}
	return limit, nil
}

// residentBytes is this process's resident size, 0 when /proc does not tell.
func residentBytes() int64 {
	m, err := statm.Read()
	if err != nil {
		return 0
	}
	return int64(m.Resident)
}

// newRunID is a name that no other run is likely to have.
func newRunID(random uint32) (id runID) {
	copy(id[:], fmt.Sprintf("%08x", random))
	return id
}
