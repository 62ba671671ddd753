package nameserver

import (
	"bytes"
	"encoding/binary"

	"github.com/miekg/dns"

	"meshnet/meshd/zone"
)

// headerLen is the length of a message's header (RFC 1035, section 4.1.1).
const headerLen = 12

// normal returns the bytes in which others are asked q: ID 0, the name in lower case, EDNS as the client has it, but for replies of the
// length that we take. Questions that come to the same are the same.
func normal(q *dns.Msg) (b []byte, err error) {
	m := &dns.Msg{MsgHdr: dns.MsgHdr{
		Opcode: dns.OpcodeQuery, RecursionDesired: true, AuthenticatedData: q.AuthenticatedData, CheckingDisabled: q.CheckingDisabled,
	}}
	m.Question = []dns.Question{q.Question[0]}
	m.Question[0].Name = dns.CanonicalName(q.Question[0].Name)
	if opt := q.IsEdns0(); opt != nil {
		own := *opt
		own.SetUDPSize(zone.MaxUDP)
		m.Extra = []dns.RR{&own}
	}
	return m.Pack()
}

// questionEnd returns where the question of a message ends that has its name uncompressed.
func questionEnd(b []byte) (int, bool) {
	for i := headerLen; i < len(b) && b[i] < 64; i += 1 + int(b[i]) {
		if b[i] == 0 {
			return i + 5, i+5 <= len(b) // Type (2), Class (2)
		}
	}
	return 0, false
}

// answers reports whether reply is an answer to query, which normal has made.
func answers(reply, query []byte) bool {
	end, ok := questionEnd(query)
	if !ok || len(reply) < end || reply[2]&0x80 == 0 || binary.BigEndian.Uint16(reply[4:]) != 1 {
		return false
	}
	name := end - 4
	return bytes.Equal(reply[:2], query[:2]) && bytes.Equal(lower(reply[headerLen:name]), query[headerLen:name]) &&
		bytes.Equal(reply[name:end], query[name:end])
}

// lower returns a name in lower case: of its bytes those that are letters of ASCII (RFC 4343, section 3).
func lower(name []byte) []byte {
	b := bytes.Clone(name)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return b
}

// refuses reports whether reply says, without its question, that the server takes no such query.
func refuses(reply, query []byte) bool {
	return len(reply) >= headerLen && bytes.Equal(reply[:2], query[:2]) && reply[2]&0x80 != 0 && reply[3]&0xf != 0 &&
		binary.BigEndian.Uint16(reply[4:]) == 0
}

// fit returns a reply to the question that normal made of q as the one to q: its ID, its spelling of the name, and not longer than
// limit bytes: what does not fit is left out, and the client told so.
func fit(reply []byte, q *dns.Msg, limit int) []byte {
	b := bytes.Clone(reply)
	binary.BigEndian.PutUint16(b, q.Id)
	asked, err := (&dns.Msg{Question: q.Question[:1]}).Pack()
	if err != nil || len(asked) > len(b) {
		return zone.Failure(q)
	}
	copy(b[headerLen:], asked[headerLen:])
	if len(b) <= limit {
		return b
	}
	m := new(dns.Msg)
	if m.Unpack(b) == nil {
		m.Compress = true
		if m.Truncate(limit); m.Truncated {
			if cut, err := m.Pack(); err == nil && len(cut) <= limit {
				return cut
			}
		}
	}
	b = b[:len(asked)] // header and question
	b[2] |= 0x02       // TC
	clear(b[6:headerLen])
	return b
}
