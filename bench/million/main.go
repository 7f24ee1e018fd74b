package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

const usageText = `usage: million guest -n CONNECTIONS
       million judge [-console FILE] [-json DIRECTORY]
See: million guest -h, million judge -h
`

// errMissed is the end of a run whose figures are there, and do not reach their bars.
var errMissed = errors.New("a bar was missed")

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usageText)
		os.Exit(2)
	}
	commands := map[string]func([]string) error{"guest": guestCommand, "judge": judgeCommand}
	run, known := commands[os.Args[1]]
	if !known {
		fmt.Fprint(os.Stderr, usageText)
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "million "+os.Args[1]+":", err)
		os.Exit(1)
	}
}

func guestCommand(args []string) error {
	o := defaultOrder()
	fs := flag.NewFlagSet("million guest", flag.ExitOnError)
	fs.IntVar(&o.Connections, "n", o.Connections, "connections")
	fs.StringVar(&o.holdfast, "holdfast", o.holdfast, "the program")
	fs.DurationVar(&o.settle, "settle", o.settle, "quiet after the last connection, before memory is read")
	fs.DurationVar(&o.heartbeat, "heartbeat", o.heartbeat, "the server's activity timeout")
	fs.DurationVar(&o.limit, "limit", o.limit, "the longest for the load")
	_ = fs.Parse(args) // ExitOnError
	if o.Connections < 1 {
		return fmt.Errorf("-n %d: use 1 or more", o.Connections)
	}
	return conduct(o, os.Stdout)
}

func judgeCommand(args []string) error {
	fs := flag.NewFlagSet("million judge", flag.ExitOnError)
	console := fs.String("console", "bin/million/console.log", "what the guest printed")
	dir := fs.String("json", "docs/results", "directory for million-<date>.json; \"\" none")
	_ = fs.Parse(args) // ExitOnError
	file, err := os.Open(*console)
	if err != nil {
		return err
	}
	defer file.Close()
	all, err := readRecords(file)
	if err != nil {
		return fmt.Errorf("%s: %w", *console, err)
	}
	r, err := judge(all)
	if err != nil {
		return fmt.Errorf("%s: %w", *console, err)
	}
	r.circumstances = readCircumstances()
	if err := r.print(os.Stdout); err != nil {
		return err
	}
	if *dir != "" {
		name, err := r.write(*dir)
		if err != nil {
			return err
		}
		fmt.Println("written to", name)
	}
	if !r.Pass {
		return errMissed
	}
	return nil
}
