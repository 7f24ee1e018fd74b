package frame

import (
	"encoding/binary"
	"math/bits"

	"github.com/gobwas/ws"
)

// bulkUnmask is the payload size from which the vector code is worth its call.
const bulkUnmask = 64

// unmask removes the mask from p in place, RFC 6455 section 5.3. Byte 0 of p
// meets byte 0 of mask.
func unmask(p []byte, mask uint32) {
	if len(p) >= bulkUnmask {
		var key [4]byte
		binary.LittleEndian.PutUint32(key[:], mask)
		whole := len(p) &^ 15 // a multiple of 4: the tail starts at mask byte 0 again
		ws.Cipher(p[:whole], key, 0)
		p = p[whole:]
	}
	wide := uint64(mask)<<32 | uint64(mask)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	if len(p) >= 4 {
		binary.LittleEndian.PutUint32(p, binary.LittleEndian.Uint32(p)^mask)
		p = p[4:]
	}
	for i := range p {
		p[i] ^= byte(mask)
		mask >>= 8
	}
}

// advanceMask is the mask as the byte behind n payload bytes meets it.
func advanceMask(mask uint32, n int) uint32 {
	return bits.RotateLeft32(mask, -8*(n&3))
}
