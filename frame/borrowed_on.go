//go:build invariants

package frame

// checked tells that borrowed bytes are overwritten when their Sink returns.
const checked = true

// overwrite makes a payload useless to whoever kept it beyond its loan.
func overwrite(p []byte) {
	for i := range p {
		p[i] = 0xdb
	}
}
