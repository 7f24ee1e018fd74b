package redisbroker

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// An envelope is what one node tells the others through Redis, and what a channel's
// stream keeps:
//
//	mac      16 bytes  HMAC-SHA256 over the place and everything behind, cut
//	version   1 byte   1
//	kind      1 byte
//	time      8 bytes  Unix milliseconds, big endian
//	node      8 bytes  the incarnation that made it, big endian
//	origin    1 byte   length, then a socket id that the event is not for
//	text      the rest
//
// The place is the channel's key, so an envelope of one channel is none in another.
// What a script adds in front of it when it is published (head) is not covered: who can
// write to Redis can repeat and renumber what was published, but not make it up.
const (
	macBytes        = 16
	envelopeVersion = 1
	envelopeFixed   = macBytes + 1 + 1 + 8 + 8 + 1
)

// kind says what an envelope holds.
type kind byte

const (
	kindEvent       kind = 1 + iota // text: a message up to its number
	kindLastEvent                   // the same, and it becomes its cache channel's last event
	kindClientEvent                 // text: a whole message; it has no number
	kindControl                     // text: a control message
	kindJoined                      // text: a user and its info (memberText)
	kindLeft                        // text: a user
	kinds
)

// envelope is one that was opened. Its text is borrowed from what it was opened from.
type envelope struct {
	kind   kind
	timeMS int64
	node   uint64
	origin string
	text   []byte
}

// size is what an event counts for a rule: its envelope, as in the stream.
func (e *envelope) size() int { return envelopeFixed + len(e.origin) + len(e.text) }

// Errors of what comes out of Redis. Whatever has one is dropped and counted.
var (
	errEnvelope = errors.New("redisbroker: not an envelope")
	errForged   = errors.New("redisbroker: an envelope was not made by a node of this cluster")
	errHead     = errors.New("redisbroker: no position in front of an envelope")
)

// Keys authenticate what nodes tell each other.
type Keys struct {
	// Shared is the same on all nodes, at least 32 bytes.
	Shared []byte
	// Apps are those of single applications, by id: what is about one of them does not
	// depend on which others a node serves. For any other Shared is used.
	Apps map[string][]byte
}

// keptKeys is how many former keys of a place still open envelopes: streams hold some that
// were made before a reload.
const keptKeys = 4

// seal makes and opens envelopes. Safe for concurrent use.
type seal struct {
	change sync.Mutex
	rings  atomic.Pointer[rings]
}

// rings are keys, the newest first. Immutable.
type rings struct {
	shared []*ring
	apps   map[string][]*ring
}

// ring is one key.
type ring struct {
	key  []byte
	macs sync.Pool // of hash.Hash
}

// keyBytes is the size of a derived key.
const keyBytes = 32

func newRing(shared []byte) (*ring, error) {
	key, err := hkdf.Key(sha256.New, shared, nil, "holdfast redis envelope 1", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("redisbroker: cluster key: %w", err)
	}
	r := &ring{key: key}
	r.macs.New = func() any { return hmac.New(sha256.New, key) }
	return r, nil
}

// newSeal derives the keys of envelopes from those that all nodes share (RFC 5869).
func newSeal(keys Keys) (*seal, error) {
	s := &seal{}
	s.rings.Store(&rings{})
	return s, s.take(keys)
}

// take makes envelopes with these keys from now on. Those made with former ones are still
// opened.
func (s *seal) take(keys Keys) error {
	s.change.Lock()
	defer s.change.Unlock()
	old := s.rings.Load()
	next := &rings{apps: map[string][]*ring{}}
	var err error
	if next.shared, err = renewed(old.shared, keys.Shared); err != nil {
		return err
	}
	for id, key := range keys.Apps {
		if next.apps[id], err = renewed(old.apps[id], key); err != nil {
			return err
		}
	}
	s.rings.Store(next)
	return nil
}

// renewed puts a key in front of former ones.
func renewed(former []*ring, key []byte) ([]*ring, error) {
	first, err := newRing(key)
	if err != nil {
		return nil, err
	}
	list := []*ring{first}
	for _, r := range former {
		if !bytes.Equal(r.key, first.key) && len(list) <= keptKeys {
			list = append(list, r)
		}
	}
	return list, nil
}

// of are the keys of a place.
func (s *seal) of(place string) []*ring {
	all := s.rings.Load()
	if app, _, ok := strings.Cut(place, string(separator)); ok && all.apps[app] != nil {
		return all.apps[app]
	}
	return all.shared
}

// sum writes the MAC of body at place to dst.
func (r *ring) sum(dst *[macBytes]byte, place string, body []byte) {
	h := r.macs.Get().(hash.Hash) //nolint:forcetypeassert // the pool holds nothing else
	defer r.macs.Put(h)
	h.Reset()
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(place)))
	h.Write(n[:])
	h.Write([]byte(place))
	h.Write(body)
	var all [sha256.Size]byte
	copy(dst[:], h.Sum(all[:0]))
}

// maxOrigin is the longest socket id, in bytes; a longer one is nobody's.
const maxOrigin = 41

// append appends an envelope for a place.
func (s *seal) append(dst []byte, place string, e *envelope) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, macBytes)...)
	dst = append(dst, envelopeVersion, byte(e.kind))
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.timeMS))
	dst = binary.BigEndian.AppendUint64(dst, e.node)
	origin := e.origin
	if len(origin) > maxOrigin {
		origin = ""
	}
	dst = append(dst, byte(len(origin)))
	dst = append(dst, origin...)
	dst = append(dst, e.text...)
	var mac [macBytes]byte
	s.of(place)[0].sum(&mac, place, dst[start+macBytes:])
	copy(dst[start:], mac[:])
	return dst
}

// open reads an envelope of a place. The MAC is compared first: nothing of a forged one
// is looked at.
func (s *seal) open(place string, raw []byte) (envelope, error) {
	if len(raw) < envelopeFixed {
		return envelope{}, errEnvelope
	}
	if !slices.ContainsFunc(s.of(place), func(r *ring) bool {
		var mac [macBytes]byte
		r.sum(&mac, place, raw[macBytes:])
		return hmac.Equal(mac[:], raw[:macBytes])
	}) {
		return envelope{}, errForged
	}
	body := raw[macBytes:]
	e := envelope{
		kind:   kind(body[1]),
		timeMS: int64(binary.BigEndian.Uint64(body[2:])),
		node:   binary.BigEndian.Uint64(body[10:]),
	}
	n := int(body[18])
	rest := body[19:]
	if body[0] != envelopeVersion || e.kind == 0 || e.kind >= kinds || n > maxOrigin || n > len(rest) {
		return envelope{}, errEnvelope
	}
	e.origin, e.text = string(rest[:n]), rest[n:]
	return e, nil
}

// head is what a script puts in front of an envelope: seq:start:epoch: in decimal. An
// event without a number has 0:0::.
type head struct {
	epoch      string
	start, seq uint64
}

const (
	maxSeq    = 1<<53 - 1
	maxDigits = len("9007199254740991")
	maxEpoch  = 16
)

// splitHead takes a published message apart.
func splitHead(raw string) (h head, envelope string, err error) {
	if h.seq, raw, err = cutNumber(raw); err != nil {
		return head{}, "", err
	}
	if h.start, raw, err = cutNumber(raw); err != nil {
		return head{}, "", err
	}
	for i := 0; i < len(raw) && i <= maxEpoch; i++ {
		if raw[i] == ':' {
			h.epoch = raw[:i]
			if (h.seq == 0) != (i == 0) || h.start > h.seq {
				return head{}, "", errHead
			}
			return h, raw[i+1:], nil
		}
		if !isEpochByte(raw[i]) {
			break
		}
	}
	return head{}, "", errHead
}

func isEpochByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// cutNumber takes a decimal number and the colon behind it off the front.
func cutNumber(s string) (n uint64, rest string, err error) {
	for i := 0; i < len(s) && i <= maxDigits; i++ {
		c := s[i]
		switch {
		case c == ':' && i > 0 && n <= maxSeq:
			return n, s[i+1:], nil
		case c < '0' || c > '9':
			return 0, "", errHead
		}
		n = n*10 + uint64(c-'0')
	}
	return 0, "", errHead
}

// unnumbered is the head of what is published without a script.
var unnumbered = string(appendHead(nil, head{}))

// appendHead is splitHead's inverse.
func appendHead(dst []byte, h head) []byte {
	dst = strconv.AppendUint(dst, h.seq, 10)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, h.start, 10)
	dst = append(dst, ':')
	dst = append(dst, h.epoch...)
	return append(dst, ':')
}
