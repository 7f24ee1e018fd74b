package bench

// held keeps bytes for the few connections that wait for the rest of a frame or
// for room in the kernel. A connection knows its buffer by number; 0 is none.
// Owned by one loop.
type held struct {
	buffers [][]byte
	free    []uint32
}

const (
	// pooledBytes is the largest buffer that is kept for the next user.
	pooledBytes = 16 << 10
	// pooledAtMost bounds the buffers that wait for one.
	pooledAtMost = 1024
)

// bytes is what buffer at holds; nil for 0. Valid until the next call that changes it.
func (h *held) bytes(at uint32) []byte {
	if at == 0 {
		return nil
	}
	return h.buffers[at]
}

// set makes the buffer hold p, which may be a part of what it holds.
func (h *held) set(at *uint32, p []byte) {
	if len(p) == 0 {
		h.drop(at)
		return
	}
	h.take(at)
	h.buffers[*at] = append(h.buffers[*at][:0], p...)
}

// append adds p to the buffer.
func (h *held) append(at *uint32, p []byte) {
	h.take(at)
	h.buffers[*at] = append(h.buffers[*at], p...)
}

func (h *held) take(at *uint32) {
	if *at != 0 {
		return
	}
	if n := len(h.free); n > 0 {
		*at, h.free = h.free[n-1], h.free[:n-1]
		return
	}
	if len(h.buffers) == 0 {
		h.buffers = append(h.buffers, nil)
	}
	h.buffers = append(h.buffers, nil)
	*at = uint32(len(h.buffers) - 1)
}

// drop gives the buffer back.
func (h *held) drop(at *uint32) {
	if *at == 0 {
		return
	}
	b := h.buffers[*at]
	if cap(b) > pooledBytes || len(h.free) >= pooledAtMost {
		b = nil
	}
	h.buffers[*at] = b[:0]
	h.free = append(h.free, *at)
	*at = 0
}
