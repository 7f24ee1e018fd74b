package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-edge/holdfast/persist"
	"github.com/holdfast-edge/holdfast/router"
)

type logCommand struct {
	Check logCheckCommand `cmd:"" help:"Read every byte of the log and say which files are sound. Changes nothing. Exit code 1: damage was found."`
	Show  logShowCommand  `cmd:"" help:"Print what the log holds: its files and where channels stand, or all events of the named channels."`
}

type logCheckCommand struct {
	JSON bool   `help:"Print the report as JSON."`
	Dir  string `arg:"" name:"dir" help:"The server's data directory, or the log directory in it."`
}

type logShowCommand struct {
	App      string   `default:"app-id" placeholder:"app-id" help:"App of the channels."`
	Dir      string   `arg:"" name:"dir" help:"The server's data directory, or the log directory in it."`
	Channels []string `arg:"" optional:"" name:"channel" sep:"none" help:"Channels whose events are printed."`
}

// findLog accepts a data directory in place of the log in it.
func findLog(dir string) (string, error) {
	if inner := filepath.Join(dir, logDir); isDir(inner) {
		return inner, nil
	}
	if !isDir(dir) {
		return "", fmt.Errorf("%s is no directory", dir)
	}
	if !persist.IsLog(dir) {
		return "", fmt.Errorf("there is no replay log in %s", dir)
	}
	return dir, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// logFault words what keeps one from looking into a log.
func logFault(dir string, err error) error {
	if errors.Is(err, persist.ErrInUse) {
		return fmt.Errorf("%s is in use: stop the server first, or look at a copy", dir)
	}
	return err
}

func (c *logCheckCommand) run(p *process) int {
	dir, err := findLog(c.Dir)
	if err != nil {
		return p.fail("log check", err)
	}
	report, err := persist.Check(dir)
	if err != nil {
		return p.fail("log check", logFault(dir, err))
	}
	if c.JSON {
		if err := writeReport(p, report); err != nil {
			return p.fail("log check", err)
		}
	} else {
		printReport(p, report)
	}
	if report.Damaged() > 0 {
		return exitFailure
	}
	return exitOK
}

// checkedFile is a file of the JSON report.
type checkedFile struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Records uint64 `json:"records"`
	Note    string `json:"note,omitempty"`
	Error   string `json:"error,omitempty"`
}

func writeReport(p *process, r persist.Report) error {
	files := make([]checkedFile, len(r.Files))
	for i, f := range r.Files {
		files[i] = checkedFile{Name: f.Name, Bytes: f.Bytes, Records: f.Records, Note: f.Note}
		if f.Err != nil {
			files[i].Error = f.Err.Error()
		}
	}
	out := json.NewEncoder(p.out)
	out.SetIndent("", "  ")
	return out.Encode(map[string]any{
		"files": files, "damaged": r.Damaged(), "id": r.ID, "life": r.Life, "clean": r.Clean, "behind": r.Behind,
		"channels": r.Channels, "idempotency_keys": r.Keys, "set_aside": r.SetAside,
	})
}

func printReport(p *process, r persist.Report) {
	for _, f := range r.Files {
		state := "ok"
		if f.Err != nil {
			state = "damaged: " + f.Err.Error()
		} else if f.Note != "" {
			state += ", " + f.Note
		}
		fmt.Fprintf(p.out, "%-40s %12d bytes %10d records  %s\n", f.Name, f.Bytes, f.Records, state)
	}
	for _, name := range r.SetAside {
		fmt.Fprintf(p.out, "%-40s set aside by an earlier start\n", name)
	}
	how := "was not stopped in order"
	if r.Clean {
		how = "was stopped in order"
	}
	fmt.Fprintf(p.out, "%d channels, %d idempotency keys, id %s, life %d; the server %s\n", r.Channels, r.Keys, r.ID, r.Life, how)
	if r.Behind {
		fmt.Fprintln(p.out, "Events were delivered that the log could not keep: the next start begins new epochs.")
	}
	switch n := r.Damaged(); n {
	case 0:
		fmt.Fprintln(p.out, "No damage.")
	default:
		fmt.Fprintf(p.out, "%d damaged files. The next start sets them aside, and the channels concerned begin new epochs.\n", n)
	}
}

func (c *logShowCommand) run(p *process) int {
	dir, err := findLog(c.Dir)
	if err != nil {
		return p.fail("log show", err)
	}
	keys := make([]string, len(c.Channels))
	for i, channel := range c.Channels {
		keys[i] = router.LogKey(c.App, channel)
	}
	if err := persist.Show(dir, p.out, keys...); err != nil {
		return p.fail("log show", logFault(dir, err))
	}
	return exitOK
}
