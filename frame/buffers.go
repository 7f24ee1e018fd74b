package frame

import "math/bits"

const (
	// minBuffer and maxBuffer bound what is pooled; classes are the powers of two
	// between them. A larger buffer belongs to one message and goes back to the
	// collector with it, so that one upload does not stay resident.
	minBuffer = 128
	maxBuffer = 64 << 10

	minClass = 7  // log2 of minBuffer
	maxClass = 16 // log2 of maxBuffer

	// maxPooled bounds the idle bytes of one pool; maxPerClass the idle buffers of
	// a class, since small ones cost their slice header too.
	maxPooled   = 1 << 20
	maxPerClass = 1024
)

// buffers lends byte slices by size class. One goroutine; the zero value is ready.
type buffers struct {
	free   [maxClass - minClass + 1][][]byte // empty slices of exactly the class's capacity
	unused [maxClass - minClass + 1]int      // of these, lent at no time since trim
	pooled int                               // bytes in free
}

// classOf is the smallest class that holds n bytes; n is at most maxBuffer.
func classOf(n int) int {
	if n <= minBuffer {
		return 0
	}
	return bits.Len(uint(n-1)) - minClass
}

// get lends an empty buffer for at least n bytes, n at most maxBuffer.
func (b *buffers) get(n int) []byte {
	class := classOf(n)
	list := b.free[class]
	if len(list) == 0 {
		return make([]byte, 0, minBuffer<<class)
	}
	p := list[len(list)-1]
	list[len(list)-1] = nil
	b.free[class] = list[:len(list)-1]
	b.unused[class] = min(b.unused[class], len(list)-1)
	b.pooled -= cap(p)
	return p
}

// put takes a buffer back, or lets the collector have it. nil is allowed.
func (b *buffers) put(p []byte) {
	size := cap(p)
	if size < minBuffer || size > maxBuffer || b.pooled+size > maxPooled {
		return
	}
	class := classOf(size)
	if len(b.free[class]) == maxPerClass {
		return
	}
	b.free[class] = append(b.free[class], p[:0])
	b.pooled += size
}

// trim lets the collector have what was not lent since the last call: a burst's
// buffers do not outlive it by much, those of a steady stream stay.
func (b *buffers) trim() {
	for class, list := range b.free {
		keep := len(list) - b.unused[class]
		if keep == 0 {
			b.free[class] = nil
		} else {
			clear(list[keep:])
			b.free[class] = list[:keep]
		}
		b.pooled -= b.unused[class] * (minBuffer << class)
		b.unused[class] = keep
	}
}

// append is append with pooled growth. Capacity doubles with what has arrived,
// never with what was announced; most is the size that p cannot pass, 0 when
// nobody knows, and keeps the last doubling of a large message exact.
func (b *buffers) append(p, more []byte, most int) []byte {
	need := len(p) + len(more)
	if need <= cap(p) {
		return append(p, more...)
	}
	var grown []byte
	if need <= maxBuffer {
		grown = b.get(need)
	} else {
		size := 1 << bits.Len(uint(need-1))
		if most >= need && most < size {
			size = most
		}
		grown = make([]byte, 0, size)
	}
	grown = append(append(grown, p...), more...)
	b.put(p)
	return grown
}
