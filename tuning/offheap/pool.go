package offheap

import "unsafe"

// Pool hands out records of T by number, with a free list inside the free
// records, so an unused record costs nothing but its own bytes.
//
// Owned by one goroutine at a time; no locks. Number 0 is never handed out and
// means "none" in the caller's links.
type Pool[T any] struct {
	table *Table[cell[T]]
	used  uint32 // records ever handed out, 0 included; all above are untouched pages
	free  uint32 // head of the free list; 0 = empty
	live  int
}

// cell is a record, or, while free, the number of the next free record in its
// first four bytes: T is at least that long.
type cell[T any] struct{ value T }

// NewPool reserves room for max records beside number 0. It panics when T holds
// Go pointers or is shorter than four bytes.
func NewPool[T any](max int) (*Pool[T], error) {
	var zero T
	if unsafe.Sizeof(zero) < 4 {
		panic("offheap: a pooled record must have at least four bytes")
	}
	table, err := NewTable[cell[T]](max + 1)
	if err != nil {
		return nil, err
	}
	return &Pool[T]{table: table, used: 1}, nil
}

// Alloc returns the number and the zeroed record, or 0 and nil when all are out.
func (p *Pool[T]) Alloc() (uint32, *T) {
	i := p.free
	if i != 0 {
		v := &p.table.At(i).value
		p.free = *(*uint32)(unsafe.Pointer(v))
		var zero T
		*v = zero
		p.live++
		return i, v
	}
	if int(p.used) >= p.table.Len() {
		return 0, nil
	}
	i = p.used
	p.used++
	p.live++
	return i, &p.table.At(i).value
}

// Free takes record i back. The caller must hold no pointer to it.
func (p *Pool[T]) Free(i uint32) {
	v := &p.table.At(i).value
	*(*uint32)(unsafe.Pointer(v)) = p.free
	p.free = i
	p.live--
	if p.live == 0 {
		p.reset()
	}
}

// reset gives everything back to the kernel once nothing is in use.
func (p *Pool[T]) reset() {
	p.table.Discard(0, p.used)
	// Records on pages that Discard could not take keep stale bytes; clear them,
	// since Alloc promises zeroed records.
	p.clearEdges()
	p.used, p.free = 1, 0
}

func (p *Pool[T]) clearEdges() {
	var zero cell[T]
	size := unsafe.Sizeof(zero)
	perPage := uint32(4096/size) + 2
	n := p.used
	for i := uint32(0); i < n; i++ {
		if i == perPage && n > 2*perPage {
			i = n - perPage
		}
		*p.table.At(i) = zero
	}
}

// At returns record i, which must be out.
func (p *Pool[T]) At(i uint32) *T { return &p.table.At(i).value }

// Live is the number of records handed out and not taken back.
func (p *Pool[T]) Live() int { return p.live }
