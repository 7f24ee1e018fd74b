// Command holdfast is the server and its tools in one binary: serve,
// check-config, config, version, doctor, bench, publish, tail and log.
//
// What: this package is the command line, the order of starting and stopping,
// and what comes from outside the sockets: signals, the service manager, the
// environment. main hands everything to run; os.Exit is called nowhere else.
//
// Who owns it: one goroutine walks the steps of serve and is the only one that
// starts, reloads or stops the Runtime.
//
// What it holds: nothing per connection.
//
// What it refuses: a command line or configuration with any fault (exit code
// 2, every fault on its own line). Exit code 1 is a failure while running, or
// a stop that was cut short; 0 is everything else.
package main
