package statm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Path is the file that Read reads and Parse understands.
const Path = "/proc/self/statm"

// ErrFormat is a file that does not begin with two figures.
var ErrFormat = errors.New(Path + ": unexpected format")

// Memory of a process. Unit: bytes.
type Memory struct {
	Virtual  uint64 // address space
	Resident uint64 // in RAM; the kernel's memory for its sockets is not in it
}

// Read reads the file of this process.
func Read() (Memory, error) {
	text, err := os.ReadFile(Path)
	if err != nil {
		return Memory{}, err
	}
	return Parse(text)
}

// Parse reads the first two fields, which the file counts in pages.
func Parse(text []byte) (Memory, error) {
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return Memory{}, fmt.Errorf("%w: %.80q", ErrFormat, text)
	}
	var bytesOf [2]uint64
	for i := range bytesOf {
		pages, err := strconv.ParseUint(string(fields[i]), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("%w: %.80q", ErrFormat, text)
		}
		bytesOf[i] = pages * uint64(os.Getpagesize())
	}
	return Memory{Virtual: bytesOf[0], Resident: bytesOf[1]}, nil
}
