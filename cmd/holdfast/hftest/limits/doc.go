// Package limits abuses a real server, one limit of docs/limits.md after the
// other, over real sockets, and checks the answer to the letter: the close code
// and that the Close frame arrives, the sentence, the JSON body, the metric, and
// that the connection stays where the table says so.
//
// Beside each abuse a hundred well-behaved clients of the same server are served.
// What they get is measured in a window before and in one meanwhile; no event of
// theirs may be missing, double or out of order, none of them may be cut off, and
// the 99th percentile of their latency may rise by no more than slack.
//
// It owns one server process a test, and nothing else; it holds tests only.
package limits
