package bench

// stepKind is what all loops do at a step of a scenario. They answer the server's
// pings at every step.
type stepKind uint8

const (
	// stepOpen: each loop opens its share, and is done when none is under way.
	stepOpen stepKind = iota
	// stepHold: nothing; the leader waits for a time.
	stepHold
	// stepPublish: the publisher works; of a mixed crowd, a part leaves and comes back.
	stepPublish
	// stepDrain: a loop is done when all that was published has come.
	stepDrain
	// stepCut: each loop ends its connections by RST.
	stepCut
	// stepEnd: loops return.
	stepEnd
)

// step is one of a scenario. wave numbers the openings.
type step struct {
	kind stepKind
	wave int
}

// script is the steps of a scenario, the same in all processes.
func script(p *Params) []step {
	switch {
	case p.Kind == Storm:
		var s []step
		for wave := range p.Rounds {
			s = append(s, step{stepOpen, wave}, step{stepCut, wave})
		}
		return append(s, step{stepEnd, 0})
	case p.Kind == Connect && p.Broadcast:
		return []step{{kind: stepOpen}, {kind: stepHold}, {kind: stepPublish}, {kind: stepDrain}, {kind: stepEnd}}
	case p.Kind == Connect:
		return []step{{kind: stepOpen}, {kind: stepHold}, {kind: stepEnd}}
	}
	return []step{{kind: stepOpen}, {kind: stepPublish}, {kind: stepDrain}, {kind: stepEnd}}
}

// shape is the board of a scenario.
func (p *Params) shape() boardShape {
	s := boardShape{steps: len(script(p)), loops: p.Processes * p.Threads}
	if p.publishes() {
		s.channels = p.Channels
	}
	return s
}
