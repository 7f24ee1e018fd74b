// Package invariant checks, in builds with -tags invariants, the rules that the
// compiler cannot see: which goroutine owns a piece of state, and which
// conditions hold at a point.
//
// Without the tag every function is empty and every type has no fields, so a
// release build pays nothing. It holds no state of its own and refuses nothing:
// a broken invariant panics, because the state behind it can no longer be
// trusted.
package invariant
