//go:build !invariants

package invariant

// On tells whether the checks are compiled in.
const On = false

// Owner remembers which goroutine owns a structure. The zero value is ready.
type Owner struct{}

// Take makes the calling goroutine the owner.
func (*Owner) Take() {}

// Check panics when the caller is not the goroutine that called Take.
func (*Owner) Check() {}

// Check panics with msg when ok is false. Guard expensive conditions by On.
func Check(ok bool, msg string) {}
