package bench

import "testing"

// Two mappings of one board, as two processes have them: every part has its own
// place, and what one writes the other reads.
func TestBoardIsShared(t *testing.T) {
	for steps := 1; steps < 9; steps++ {
		for channels := range 4 {
			shape := boardShape{steps: steps, loops: 3, channels: channels}
			ours, file, err := newBoard(shape)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := openBoard(int(file.Fd()), shape)
			if err != nil {
				t.Fatal(err)
			}
			for i := range ours.done {
				ours.done[i].Store(uint32(100 + i))
			}
			for i := range ours.slots {
				ours.slots[i].received.Store(uint64(i + 1))
				ours.slots[i].p99.Store(uint64(i))
			}
			for i := range ours.started {
				ours.started[i].Store(uint32(200 + i))
				ours.answered[i].Store(uint32(300 + i))
			}
			ours.fail(2, 7)
			ours.stop()
			for i := range theirs.done {
				if got := theirs.done[i].Load(); got != uint32(100+i) {
					t.Fatalf("%+v: done %d = %d", shape, i, got)
				}
			}
			for i := range channels {
				if theirs.startedOn(i) != uint32(200+i) || theirs.answeredOn(i) != uint32(300+i) {
					t.Fatalf("%+v: channel %d started %d answered %d", shape, i, theirs.startedOn(i), theirs.answeredOn(i))
				}
			}
			if s := theirs.sum(); s.received != 6 || s.p99 != 2 || !theirs.stopped() || theirs.failedOn(2, 6, 7) != 1 || theirs.failedOn(2, 7, 9) != 0 || theirs.failedOn(1, 0, 9) != 0 {
				t.Fatalf("%+v: %+v", shape, s)
			}
			if theirs.startedOn(channels) != 0 {
				t.Error("a channel that is not there has started")
			}
			file.Close()
		}
	}
}
