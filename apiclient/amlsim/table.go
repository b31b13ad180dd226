package amlsim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// session is what is remembered of one. It holds no pointer, so that a million
// of them cost the garbage collector nothing; all else is computed from it.
type session struct {
	person  personKey
	created int64 // nanoseconds since the simulator was made
	text    textRef
	ordinal uint32 // the how-manieth session of this person, from 0
	polls   uint32 // calls for the session information that found it
	fetches uint32 // calls for the document
	reports uint32 // calls for the report
	expands expandSet
	country uint8 // index into Config.Countries
	flags   sessionFlags
	fate    fateSet
}

type sessionFlags uint8

const (
	reportOrdered sessionFlags = 1 << iota
	ofacSearched               // the token had the OFAC scope
	documentTaken              // the document was delivered at least once
)

// maxCountries is what an index in a session can hold.
const maxCountries = 256

// table holds all sessions in order of creation and the texts they were made from.
type table struct {
	chunks  [][]session
	texts   textStore
	perHead map[personKey]uint32 // sessions of each person
	ids     cipher.Block
}

// sessionsPerChunk keeps growth at 200 KiB steps: one growing slice would copy
// and hold twice what it needs.
const sessionsPerChunk = 4096

func newTable(seed uint64, start time.Time) *table {
	// Keyed with the start as well: a simulator that was started anew must not
	// find other people's sessions under the ids of its former life.
	key := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("session id"), seed), uint64(start.UnixNano())))
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		// Cannot be: sixteen bytes are a key. A nil cipher finds no session.
		block = nil
	}
	return &table{perHead: map[personKey]uint32{}, ids: block}
}

// add stores a session with its text and returns its number.
func (t *table) add(s session, text []byte) uint64 {
	s.text = t.texts.add(text)
	s.ordinal = t.perHead[s.person]
	t.perHead[s.person]++
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last]) == sessionsPerChunk {
		t.chunks = append(t.chunks, make([]session, 0, sessionsPerChunk))
		last++
	}
	t.chunks[last] = append(t.chunks[last], s)
	return uint64(t.len() - 1)
}

func (t *table) len() int {
	n := len(t.chunks)
	if n == 0 {
		return 0
	}
	return (n-1)*sessionsPerChunk + len(t.chunks[n-1])
}

func (t *table) at(number uint64) *session {
	return &t.chunks[number/sessionsPerChunk][number%sessionsPerChunk]
}

// id returns the session id of a number: the number, enciphered, so that no
// index from ids to sessions is needed and ids cannot be guessed or counted.
func (t *table) id(number uint64) string {
	var block [16]byte
	binary.BigEndian.PutUint64(block[8:], number)
	t.ids.Encrypt(block[:], block[:])
	text := hex.EncodeToString(block[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// find returns the number of the session with the id.
func (t *table) find(id string) (number uint64, ok bool) {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return 0, false
	}
	var block [16]byte
	if _, err := hex.Decode(block[:], []byte(id[:8]+id[9:13]+id[14:18]+id[19:23]+id[24:])); err != nil {
		return 0, false
	}
	t.ids.Decrypt(block[:], block[:])
	number = binary.BigEndian.Uint64(block[8:])
	if binary.BigEndian.Uint64(block[:8]) != 0 || number >= uint64(t.len()) {
		return 0, false
	}
	return number, t.id(number) == id // one spelling only
}

// textRef points at a text in a textStore.
type textRef struct {
	chunk, offset uint32
	length        uint16
}

// textStore holds texts end to end in large chunks.
type textStore struct{ chunks [][]byte }

// textChunk is the size of a chunk in bytes; a text is at most maxText.
const (
	textChunk = 1 << 18
	maxText   = 1 << 13
)

func (t *textStore) add(text []byte) textRef {
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last])+len(text) > textChunk {
		t.chunks = append(t.chunks, make([]byte, 0, textChunk))
		last++
	}
	offset := len(t.chunks[last])
	t.chunks[last] = append(t.chunks[last], text...)
	return textRef{chunk: uint32(last), offset: uint32(offset), length: uint16(len(text))}
}

func (t *textStore) get(r textRef) []byte {
	return t.chunks[r.chunk][r.offset : r.offset+uint32(r.length)]
}
