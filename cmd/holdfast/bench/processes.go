package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"sync"
)

// job is what a further process is told, one line of JSON on its standard input,
// which then stays open for as long as the first process lives. The board is its
// descriptor 3. It answers with its outcome on standard output.
type job struct {
	Params       Params       `json:"params"`
	Secret       string       `json:"secret"` // not in Params' JSON
	Process      int          `json:"process"`
	Run          string       `json:"run"`
	Host         string       `json:"host"`
	Prefix       string       `json:"prefix"`
	Port         uint16       `json:"port"`
	Destinations []netip.Addr `json:"destinations"`
	Sources      []netip.Addr `json:"sources"`
}

const (
	boardDescriptor = 3
	maxJobBytes     = 64 << 20 // 50,800 source addresses and 65,536 destinations fit
	maxChildWords   = 4 << 10  // of its standard error, for the message
)

// child is one further process.
type child struct {
	cmd    *exec.Cmd
	in     io.Closer
	err    tail
	ended  chan struct{} // closed when it has handed in its outcome, or will not
	theirs outcome       // valid after ended
	fault  error         // valid after ended
}

// startChildren starts processes 1 to Processes-1. program is the command that
// calls Help. One that fails stops the run.
func (c *crew) startChildren(program []string, board *os.File) ([]*child, error) {
	var all []*child
	for k := 1; k < c.params.Processes; k++ {
		one, err := c.startChild(program, board, k)
		if err != nil {
			c.board.stop()
			return all, fmt.Errorf("%w: process %d: %w", ErrChild, k, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func (c *crew) startChild(program []string, board *os.File, k int) (*child, error) {
	text, err := json.Marshal(job{Params: c.params, Secret: c.params.AppSecret, Process: k, Run: string(c.run[:]),
		Host: c.target.host, Prefix: c.target.prefix, Port: c.target.port, Destinations: c.target.destinations, Sources: c.sources})
	if err != nil {
		return nil, err
	}
	one := &child{cmd: exec.Command(program[0], program[1:]...), ended: make(chan struct{}), theirs: outcome{Tally: newTally(0)}}
	one.cmd.Stderr = &one.err
	one.cmd.ExtraFiles = []*os.File{board}
	in, err := one.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := one.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := one.cmd.Start(); err != nil {
		return nil, err
	}
	one.in = in
	go one.attend(out, c.board)
	if _, err := in.Write(append(text, '\n')); err != nil {
		in.Close() // it is ending: attend finds out how, and its last words say why
	}
	return one, nil
}

// attend takes the outcome, and reaps the process whenever it ends.
func (one *child) attend(out io.Reader, b *board) {
	if err := json.NewDecoder(out).Decode(&one.theirs); err != nil {
		one.fault = errors.Join(one.cmd.Wait(), err)
		b.stop()
		close(one.ended)
		return
	}
	close(one.ended)
	_ = one.cmd.Wait() // its work is done; how it ends does not matter
}

// gather merges the further processes' outcomes into out, and unless linger lets
// them end.
func gather(children []*child, out *outcome, linger bool) error {
	var faults []error
	for k, one := range children {
		<-one.ended
		if !linger {
			one.in.Close()
		}
		if one.fault != nil {
			faults = append(faults, fmt.Errorf("%w: process %d: %w: %s", ErrChild, k+1, one.fault, one.err.String()))
			continue
		}
		out.Tally.merge(one.theirs.Tally)
		out.Memory.Before += one.theirs.Memory.Before
		out.Memory.Opened += one.theirs.Memory.Opened
		out.Memory.AtOpen += one.theirs.Memory.AtOpen
	}
	return errors.Join(faults...)
}

// Help does the share of a further process: it reads its job from in, writes its
// outcome to out, and returns at the end of in, which before the outcome stops the
// run. So does the end of ctx.
func Help(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := bufio.NewReader(io.LimitReader(in, maxJobBytes))
	line, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("bench: read the job: %w", err)
	}
	alone := make(chan struct{})
	go func() { // until the first process ends or lets go
		_, _ = io.Copy(io.Discard, r)
		cancel()
		close(alone)
	}()
	c, err := crewOf(line)
	if err != nil {
		return err
	}
	if _, err := prepareDescriptors(&c.params); err != nil {
		return err
	}
	done, err := c.work(ctx)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(done); err != nil {
		return fmt.Errorf("bench: hand in the outcome: %w", err)
	}
	<-alone
	return nil
}

// crewOf makes a further process's crew of its job.
func crewOf(line []byte) (*crew, error) {
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return nil, fmt.Errorf("bench: read the job: %w", err)
	}
	j.Params.AppSecret = j.Secret
	if err := j.Params.Validate(); err != nil {
		return nil, err
	}
	if len(j.Destinations) == 0 || j.Process < 1 || j.Process >= j.Params.Processes {
		return nil, usage("process %d of %d to %d destinations", j.Process, j.Params.Processes, len(j.Destinations))
	}
	b, err := openBoard(boardDescriptor, j.Params.shape())
	if err != nil {
		return nil, err
	}
	clock, err := newClock()
	if err != nil {
		return nil, err
	}
	c := &crew{params: j.Params, process: j.Process, board: b, clock: clock, sources: j.Sources,
		target: &target{host: j.Host, prefix: j.Prefix, port: j.Port, destinations: j.Destinations}}
	copy(c.run[:], j.Run)
	return c, nil
}

// tail keeps the end of what a process says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - maxChildWords; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
