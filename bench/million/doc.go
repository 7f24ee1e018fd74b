// Million puts a million connections on one holdfast and says whether it held them within its bars.
//
// What: "million guest" is the measurement. It runs inside a throw-away guest as the only other program beside holdfast:
// asks holdfast doctor, starts the server and holdfast bench, looks at both through /proc, and prints what it found on the
// console, a record a line. "million judge" reads the console on the host, prints the table of bars and writes the result
// file. boot.sh makes the guest; bench/README.md tells the method.
//
// Who owns what: one goroutine does everything; one more per child process only collects its exit.
//
// Records: a line of the console is a record if it begins with "million {": a JSON object with a kind and one body. All
// other lines are for whoever watches.
//
// What it refuses: to judge a console without all records, memory figures that were read before the last connection was
// subscribed or after the broadcast had begun, and a bill of doctor whose items it does not know.
package main
