package bench

// The data of a published message, plain ASCII that every server hands on
// unchanged; numbers are decimal with leading zeros:
//
//	| run 8 hex | number 10 | after 10 | due 16 | padding x |
//
// number counts the messages of a channel from 1. after is the number up to which
// all publishes of the channel had been answered when this one was sent: whoever has
// received this message before one of those knows that the server changed the order;
// two publishes under way at once have none. due is CLOCK_MONOTONIC in microseconds.
const (
	runBytes     = 8
	numberBytes  = 10
	dueBytes     = 16
	payloadBytes = runBytes + 2*numberBytes + dueBytes
)

// eventName is the event of every message.
const eventName = "bench"

// runID tells this run's messages from those of another one on the same channels.
type runID [runBytes]byte

// payload is one message's data without its padding.
type payload struct {
	number, after uint32
	due           int64 // nanoseconds, whole microseconds
}

// appendPayload appends data of size bytes, at least payloadBytes.
func appendPayload(dst []byte, run runID, m payload, size int) []byte {
	dst = append(dst, run[:]...)
	dst = appendDigits(dst, uint64(m.number), numberBytes)
	dst = appendDigits(dst, uint64(m.after), numberBytes)
	dst = appendDigits(dst, uint64(m.due/1000), dueBytes)
	for range size - payloadBytes {
		dst = append(dst, 'x')
	}
	return dst
}

// parsePayload is false for data that is not of this run.
func parsePayload(data []byte, run *runID) (m payload, ok bool) {
	if len(data) < payloadBytes || [runBytes]byte(data) != *run {
		return m, false
	}
	data = data[runBytes:]
	number, ok1 := digits(data[:numberBytes])
	after, ok2 := digits(data[numberBytes : 2*numberBytes])
	due, ok3 := digits(data[2*numberBytes : 2*numberBytes+dueBytes])
	ok = ok1 && ok2 && ok3 && number > 0 && number < 1<<32 && after < number
	return payload{uint32(number), uint32(after), int64(due) * 1000}, ok
}

func appendDigits(dst []byte, v uint64, width int) []byte {
	at := len(dst)
	for range width {
		dst = append(dst, '0')
	}
	for i := at + width - 1; v > 0 && i >= at; i-- {
		dst[i] = '0' + byte(v%10)
		v /= 10
	}
	return dst
}

func digits(p []byte) (v uint64, ok bool) {
	for _, d := range p {
		if d < '0' || d > '9' {
			return 0, false
		}
		v = v*10 + uint64(d-'0')
	}
	return v, true
}
