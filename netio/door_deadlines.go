package netio

import "time"

// doorRing is how many seconds ahead the ring of deadlines reaches. A deadline
// beyond stays in its slot for another turn.
const doorRing = 64

// doorList links conversations. Guarded by door.mu.
type doorList struct {
	first *doorConn
	n     int
}

func (l *doorList) push(c *doorConn) {
	c.list, c.prev, c.next = l, nil, l.first
	if l.first != nil {
		l.first.prev = c
	}
	l.first = c
	l.n++
}

// unlink takes a conversation off the list that it is on, if any.
func (c *doorConn) unlink() {
	if c.list == nil {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		c.list.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.list.n--
	c.list, c.prev, c.next = nil, nil, nil
}

// doorDeadlines are the conversations that wait for something, by the second in
// which their deadline passes. Guarded by door.mu; time is an argument.
type doorDeadlines struct {
	slots   [doorRing]doorList
	reached int64 // seconds; every slot up to here has been looked at
}

// add links c by its deadline, rounded up to a second that is yet to come.
func (w *doorDeadlines) add(c *doorConn) {
	second := (c.deadline + int64(time.Second) - 1) / int64(time.Second)
	w.slots[max(second, w.reached+1)%doorRing].push(c)
}

// expire unlinks and returns the conversations whose deadline has passed.
func (w *doorDeadlines) expire(now int64) (expired []*doorConn) {
	second := now / int64(time.Second)
	for s := max(w.reached+1, second-doorRing+1); s <= second; s++ {
		for c := w.slots[s%doorRing].first; c != nil; {
			next := c.next
			if c.deadline <= now {
				c.unlink()
				expired = append(expired, c)
			}
			c = next
		}
	}
	w.reached = max(w.reached, second)
	return expired
}

// collect unlinks and returns the conversations that match.
func (w *doorDeadlines) collect(match func(*doorConn) bool) (found []*doorConn) {
	for i := range w.slots {
		for c := w.slots[i].first; c != nil; {
			next := c.next
			if match(c) {
				c.unlink()
				found = append(found, c)
			}
			c = next
		}
	}
	return found
}
