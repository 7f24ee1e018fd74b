package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with the configuration.
type Fault struct {
	Where string // "holdfast.toml:12", "env HOLDFAST_SERVER_LISTEN", "flag --listen", or "configuration" for what is missing
	What  string // the fault, naming the key
	Do    string // what to do about it
}

// Error is the fault in one line.
func (f Fault) Error() string {
	if f.Do == "" {
		return f.Where + ": " + f.What
	}
	return f.Where + ": " + f.What + "; " + f.Do
}

// Faults is every fault that Load found, the file's in the order of its lines.
type Faults []Fault

// Error joins all faults, one a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find single faults.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

func (fs *Faults) add(where, do, format string, args ...any) {
	*fs = append(*fs, Fault{Where: where, Do: do, What: fmt.Sprintf(format, args...)})
}
