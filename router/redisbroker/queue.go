package redisbroker

import "iter"

// queuePart is how much of a queue lies in one piece.
const queuePart = 512

// queue is first in, first out. It lies in pieces, so nothing that it holds is ever moved:
// with a million in it an append takes no longer. Whoever has it guards it.
type queue[T any] struct{ parts [][]T }

func (q *queue[T]) push(v T) {
	last := len(q.parts) - 1
	if last < 0 || len(q.parts[last]) >= queuePart {
		q.parts = append(q.parts, nil)
		last++
	}
	q.parts[last] = append(q.parts[last], v)
}

// take takes some out, most at most; none = there are none.
func (q *queue[T]) take(most int) []T {
	if len(q.parts) == 0 {
		return nil
	}
	some := q.parts[0]
	if len(some) > most {
		q.parts[0] = some[most:]
		return some[:most:most]
	}
	if q.parts = q.parts[1:]; len(q.parts) == 0 {
		q.parts = nil
	}
	return some
}

// drain takes out all that are there now. What is pushed meanwhile stays.
func (q *queue[T]) drain() iter.Seq[T] {
	parts := q.parts
	q.parts = nil
	return func(yield func(T) bool) {
		for _, part := range parts {
			for _, v := range part {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// lineup is follows that wait for a lane. Those that somebody waits for are first, and
// leave half of each turn to the rest.
type lineup struct{ first, rest queue[*follow] }

func (q *lineup) push(f *follow, first bool) {
	if first {
		q.first.push(f)
	} else {
		q.rest.push(f)
	}
}

func (q *lineup) take() []*follow {
	list := q.first.take(subscribeMost / 2)
	return append(list[:len(list):len(list)], q.rest.take(subscribeMost-len(list))...)
}
