package offheap

import (
	"fmt"
	"reflect"
	"syscall"
	"unsafe"
)

// Table is an array of T at a fixed address, zeroed, its pages untouched until
// used. The record at index i belongs to whoever the caller says it does: the
// table has no locks. It lives as long as the process.
type Table[T any] struct {
	rows []T
}

// NewTable reserves n records. It panics when T holds Go pointers (a mistake of
// the program) and returns an error when the address space cannot be had.
func NewTable[T any](n int) (*Table[T], error) {
	refusePointers[T]()
	var zero T
	size := unsafe.Sizeof(zero)
	if n <= 0 || size == 0 {
		return &Table[T]{}, nil
	}
	mem, err := reserve(uintptr(n) * size)
	if err != nil {
		return nil, fmt.Errorf("offheap: reserve %d records of %d bytes: %w", n, size, err)
	}
	return &Table[T]{rows: unsafe.Slice((*T)(mem), n)}, nil
}

// At returns the record at index i. It panics beyond Len.
func (t *Table[T]) At(i uint32) *T { return &t.rows[i] }

// Len is the number of reserved records.
func (t *Table[T]) Len() int { return len(t.rows) }

// Discard gives the pages that lie wholly inside records [from, to) back to the
// kernel; the records read as zero afterwards. Errors are of no consequence
// (the memory just stays) and are not reported.
func (t *Table[T]) Discard(from, to uint32) {
	if to > uint32(len(t.rows)) {
		to = uint32(len(t.rows))
	}
	if from >= to {
		return
	}
	var zero T
	page := uintptr(syscall.Getpagesize())
	base := uintptr(unsafe.Pointer(&t.rows[0]))
	start := (base + uintptr(from)*unsafe.Sizeof(zero) + page - 1) &^ (page - 1)
	end := (base + uintptr(to)*unsafe.Sizeof(zero)) &^ (page - 1)
	if start < end {
		_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, start, end-start, syscall.MADV_DONTNEED)
	}
}

// reserve maps size bytes that count neither as memory nor against the overcommit
// limit before they are touched.
func reserve(size uintptr) (unsafe.Pointer, error) {
	addr, _, errno := syscall.RawSyscall6(syscall.SYS_MMAP, 0, size,
		syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE, ^uintptr(0), 0)
	if errno != 0 {
		return nil, errno
	}
	// The mapping is not Go memory, so this is the one place where an integer
	// becomes an address. The indirection keeps vet's pointer check for the rest.
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr)), nil
}

// refusePointers panics when T cannot live outside the collector's sight.
func refusePointers[T any]() {
	t := reflect.TypeFor[T]()
	if hasPointers(t) {
		panic(fmt.Sprintf("offheap: %v holds Go pointers", t))
	}
}

func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	default:
		return true
	}
}
