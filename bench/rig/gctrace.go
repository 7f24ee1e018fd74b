package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// errTrace: a line of the collector's account is not what it was made for.
var errTrace = errors.New("rig: bad gctrace line")

// collection is one line that a Go program writes for each collection with GODEBUG=gctrace=1:
//
//	gc 7 @12.016s 0%: 0.034+1.1+0.0020 ms clock, 0.069+0.10/0.37/0.37+0.0050 ms cpu, 2->3->2 MB, ...
//	                  |     |   |
//	                  |     |   second stop of the world: the end of marking
//	                  |     marking, beside the program
//	                  first stop of the world, the time until all have stopped included
//
// Figures have two digits and are cut off, not rounded: 1.0 is from 1.0 up to 1.1.
type collection struct {
	number int
	at     float64    // s since the program's start
	stops  [2]float64 // ms
	forced bool       // by a call, or since none came for two minutes
}

// parseCollection reads one line; ok is false for any other line of the server's output.
func parseCollection(line string) (c collection, ok bool, err error) {
	rest, found := strings.CutPrefix(line, "gc ")
	if !found {
		return c, false, nil
	}
	head, rest, found := strings.Cut(rest, "%: ")
	number, at, found2 := strings.Cut(head, " @")
	at, _, found3 := strings.Cut(at, "s ")
	clock, _, found4 := strings.Cut(rest, " ms clock")
	phases := strings.Split(clock, "+")
	if !found || !found2 || !found3 || !found4 || len(phases) != 3 {
		return c, false, fmt.Errorf("%w: %.200q", errTrace, line)
	}
	var errs [4]error
	c.number, errs[0] = strconv.Atoi(number)
	c.at, errs[1] = strconv.ParseFloat(at, 64)
	c.stops[0], errs[2] = strconv.ParseFloat(phases[0], 64)
	c.stops[1], errs[3] = strconv.ParseFloat(phases[2], 64)
	for _, v := range []float64{c.at, c.stops[0], c.stops[1]} {
		if !(v >= 0 && v <= math.MaxFloat64) { // ParseFloat takes NaN and Inf
			return c, false, fmt.Errorf("%w: %.200q", errTrace, line)
		}
	}
	c.forced = strings.Contains(line, "(forced)")
	if err := errors.Join(errs[:]...); err != nil {
		return c, false, fmt.Errorf("%w: %.200q: %w", errTrace, line, err)
	}
	return c, true, nil
}

// parseCollections reads all of a server's output. A last line without its end is left out: it is being written.
func parseCollections(output string) (out []collection, err error) {
	for line := range strings.Lines(output) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		c, ok, err := parseCollection(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, c)
		}
	}
	return out, nil
}
