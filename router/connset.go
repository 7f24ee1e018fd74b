package router

// connSet is a set of connections that is small nearly always: a user's own
// connections, or those that watch a user. The zero value is empty.
type connSet struct {
	few  []connRef            // while there are at most fewConns
	many map[connRef]struct{} // beyond; nil before
}

const fewConns = 16

func (c *connSet) len() int {
	if c.many != nil {
		return len(c.many)
	}
	return len(c.few)
}

// add reports whether ref was not there before.
func (c *connSet) add(ref connRef) bool {
	if c.many != nil {
		before := len(c.many)
		c.many[ref] = struct{}{}
		return len(c.many) > before
	}
	for _, r := range c.few {
		if r == ref {
			return false
		}
	}
	if len(c.few) < fewConns {
		c.few = append(c.few, ref)
		return true
	}
	c.many = make(map[connRef]struct{}, 2*fewConns)
	for _, r := range c.few {
		c.many[r] = struct{}{}
	}
	c.many[ref], c.few = struct{}{}, nil
	return true
}

func (c *connSet) remove(ref connRef) {
	if c.many != nil {
		delete(c.many, ref)
		if len(c.many) == 0 {
			c.many = nil
		}
		return
	}
	for i, r := range c.few {
		if r == ref {
			last := len(c.few) - 1
			c.few[i] = c.few[last]
			c.few = c.few[:last]
			return
		}
	}
}

// byLoop lists the set packed per loop; entries of loops without any are nil.
func (c *connSet) byLoop(loops int) [][]uint64 {
	lists := make([][]uint64, loops)
	for _, r := range c.few {
		lists[r.loop] = append(lists[r.loop], r.pack())
	}
	for r := range c.many {
		lists[r.loop] = append(lists[r.loop], r.pack())
	}
	return lists
}
