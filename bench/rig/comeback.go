package main

import (
	"bytes"
	"fmt"
)

// comeback is the books of one return: what each client that was away has had since.
// Owned by the crowd's goroutine.
type comeback struct {
	first    int      // number of the first missed message
	messages int      // missed ones
	texts    [][]byte // of the missed messages and the live one behind them, as every client must get them
	from     []position
	next     []int // by client: number of the message that it needs next

	recovered int            // clients that were answered recovered:true with the right count and position
	refused   map[string]int // the others, by reason
	complete  int            // clients that have had all missed messages
	live      int            // clients that have had the live one too

	delivered, duplicates, outOfOrder, corrupt, skipped int

	now    func() int64
	doneAt int64 // when the last client was complete
}

func newComeback(shape messageShape, first, messages int, from []position, now func() int64) *comeback {
	k := &comeback{first: first, messages: messages, from: from, next: make([]int, len(from)), refused: map[string]int{}, now: now}
	for i := range k.next {
		k.next[i] = first
	}
	for number := first; number <= first+messages; number++ {
		k.texts = append(k.texts, shape.appendText(nil, number))
	}
	return k
}

// subscribed books the answer to a client's recover.
func (k *comeback) subscribed(client int, text []byte) error {
	s, err := parseSuccess(text)
	if err != nil {
		return err
	}
	switch {
	case s.Recovered == nil:
		k.refused["no answer"]++
	case !*s.Recovered:
		k.refused[s.Reason]++
	case s.Replayed != k.messages || s.Position == nil || *s.Position != k.from[client]:
		k.refused[fmt.Sprintf("replayed %d from %v", s.Replayed, s.Position)]++
	default:
		k.recovered++
	}
	return nil
}

// arrival books one message.
func (k *comeback) arrival(client, number int, text []byte) {
	at := number - k.first
	switch {
	case at < 0 || at >= len(k.texts) || !bytes.Equal(text, k.texts[at]):
		k.corrupt++
		return
	case number < k.next[client]:
		k.duplicates++ // or one that came too late: then it is among the missing already
		return
	case number > k.next[client]:
		k.outOfOrder++
	}
	k.delivered++
	k.next[client] = number + 1
	if at == k.messages-1 {
		k.complete++
		k.doneAt = k.now()
	}
	if at == k.messages {
		k.live++
	}
}

// missing is how many (client, message) pairs never came in their turn, the live message included.
func (k *comeback) missing() int { return len(k.next)*(k.messages+1) - k.delivered }

// exact tells whether every client had everything exactly once, in order, and was told so.
func (k *comeback) exact() bool {
	return k.recovered == len(k.next) && k.missing() == 0 && k.duplicates+k.outOfOrder+k.corrupt+k.skipped == 0
}
