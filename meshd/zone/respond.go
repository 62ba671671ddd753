package zone

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

const (
	// TTL is for how long an answer holds, a negative one too, in seconds.
	TTL = 5
	// MaxUDP is the length of the longest reply over UDP to who can take it, in bytes: what every path carries unfragmented.
	MaxUDP = 1232
	// headerLen is the length of a message's header (RFC 1035, section 4.1.1).
	headerLen = 12
)

// Outcome is what a message comes to.
type Outcome uint8

// The outcomes.
const (
	Dropped   Outcome = iota // it is no question
	Malformed                // it breaks the format
	Refused                  // it asks for what is not done here
	Answered                 // with addresses or names
	Empty                    // the name has nothing of this type
	Unknown                  // there is no such name
	Forward                  // others know
)

// Response is what a message comes to.
type Response struct {
	Outcome Outcome
	Reply   []byte   // nil if it is Dropped or to be forwarded
	Query   *dns.Msg // what is to be forwarded
}

// Respond says what becomes of a message that a client sent. A reply is no longer than Limit.
func (z *Zone) Respond(request []byte, tcp bool) Response {
	if len(request) < headerLen || request[2]&0x80 != 0 { // QR: answers are never answered
		return Response{}
	}
	opcode := int(request[2] >> 3 & 0xf)
	if opcode != dns.OpcodeQuery {
		return Response{Outcome: Refused, Reply: bare(request, dns.RcodeNotImplemented)}
	}
	q := new(dns.Msg)
	if binary.BigEndian.Uint16(request[4:]) != 1 || q.Unpack(request) != nil || len(q.Question) != 1 || options(q) > 1 {
		return Response{Outcome: Malformed, Reply: bare(request, dns.RcodeFormatError)}
	}
	limit := Limit(q, tcp)
	if opt := q.IsEdns0(); opt != nil && opt.Version() != 0 {
		return Response{Outcome: Refused, Reply: pack(failure(q, dns.RcodeBadVers), limit, request)}
	}
	if refused(q.Question[0]) {
		return Response{Outcome: Refused, Reply: pack(failure(q, dns.RcodeRefused), limit, request)}
	}
	name := dns.CanonicalName(q.Question[0].Name)
	apex, ours := z.apex(name)
	if !ours {
		if !q.RecursionDesired {
			return Response{Outcome: Refused, Reply: pack(failure(q, dns.RcodeRefused), limit, request)}
		}
		return Response{Outcome: Forward, Query: q}
	}
	reply := failure(q, dns.RcodeSuccess)
	reply.Authoritative = true
	outcome := z.fill(reply, name, apex)
	return Response{Outcome: outcome, Reply: pack(reply, limit, request)}
}

// options returns how many OPT records a message has; more than one is an error (RFC 6891, section 6.1.1).
func options(m *dns.Msg) (n int) {
	for _, r := range m.Extra {
		if r.Header().Rrtype == dns.TypeOPT {
			n++
		}
	}
	return n
}

// refused reports whether a question is of a kind that is not answered here: other classes, transfers of zones, meta types.
func refused(q dns.Question) bool {
	switch q.Qtype {
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTKEY, dns.TypeTSIG, dns.TypeNone:
		return true
	}
	return q.Qclass != dns.ClassINET
}

// apex returns the zone of this network that name is in.
func (z *Zone) apex(name string) (string, bool) {
	if dns.IsSubDomain(z.domain, name) {
		return z.domain, true
	}
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if _, ok := z.reverse[name[off:]]; ok {
			return name[off:], true
		}
	}
	return "", false
}

// fill puts into reply what is known of name, which is in the zone apex.
func (z *Zone) fill(reply *dns.Msg, name, apex string) Outcome {
	exists := name == apex
	header := func(t uint16) dns.RR_Header {
		return dns.RR_Header{Name: reply.Question[0].Name, Rrtype: t, Class: dns.ClassINET, Ttl: TTL}
	}
	asked := reply.Question[0].Qtype
	add := func(t uint16, r dns.RR) {
		if asked == t || asked == dns.TypeANY {
			reply.Answer = append(reply.Answer, r)
		}
	}
	if exists {
		add(dns.TypeSOA, z.soa(reply.Question[0].Name))
		add(dns.TypeNS, &dns.NS{Hdr: header(dns.TypeNS), Ns: z.domain})
	}
	if apex == z.domain {
		for _, a := range z.addresses(name, &exists) {
			if a.Is4() {
				add(dns.TypeA, &dns.A{Hdr: header(dns.TypeA), A: a.AsSlice()})
			} else {
				add(dns.TypeAAAA, &dns.AAAA{Hdr: header(dns.TypeAAAA), AAAA: a.AsSlice()})
			}
		}
	} else if p, ok := parseReverse(name); ok {
		exists = exists || z.within(p)
		if owner := z.owners[p.Addr()]; p.IsSingleIP() && owner != "" {
			add(dns.TypePTR, &dns.PTR{Hdr: header(dns.TypePTR), Ptr: owner})
		}
	}
	switch {
	case len(reply.Answer) > 0:
		return Answered
	case exists:
		reply.Ns = append(reply.Ns, z.soa(apex))
		return Empty
	}
	reply.Rcode = dns.RcodeNameError
	reply.Ns = append(reply.Ns, z.soa(apex))
	return Unknown
}

// failure returns a reply to q without records.
func failure(q *dns.Msg, rcode int) *dns.Msg {
	reply := new(dns.Msg).SetRcode(q, rcode)
	reply.RecursionAvailable, reply.Compress = true, true
	if opt := q.IsEdns0(); opt != nil {
		reply.SetEdns0(MaxUDP, opt.Do()) // RFC 3225: DO is copied
	}
	return reply
}

// Failure returns the reply that says that q could not be answered now.
func Failure(q *dns.Msg) []byte {
	b, err := failure(q, dns.RcodeServerFailure).Pack()
	if err != nil {
		return nil
	}
	return b
}

// soa returns the record that heads a zone, and says how long a negative answer holds (RFC 2308, section 5).
func (z *Zone) soa(apex string) dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: TTL},
		Ns:  z.domain, Mbox: "hostmaster." + z.domain, Serial: z.serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: TTL,
	}
}

// Limit returns the length of the longest reply to q, in bytes.
func Limit(q *dns.Msg, tcp bool) int {
	if tcp {
		return dns.MaxMsgSize
	}
	if opt := q.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), dns.MinMsgSize), MaxUDP)
	}
	return dns.MinMsgSize
}

// pack returns the bytes of a reply, cut to what the client can take.
func pack(reply *dns.Msg, limit int, request []byte) []byte {
	reply.Truncate(limit)
	b, err := reply.Pack()
	if err != nil {
		return bare(request, dns.RcodeServerFailure)
	}
	return b
}

// bare returns a reply of a header alone, for what cannot be answered otherwise.
func bare(request []byte, rcode int) []byte {
	b := make([]byte, headerLen)
	copy(b, request[:4])
	b[2] = b[2]&0x79 | 0x80 // QR; the opcode and RD as they were (RFC 1035, section 4.1.1)
	b[3] = byte(rcode)
	return b
}

// addresses returns the addresses that a name below the domain has, and whether there is the name.
func (z *Zone) addresses(name string, exists *bool) (addrs []netip.Addr) {
	if name == z.domain {
		return z.servers
	}
	all, known := z.names[strings.TrimSuffix(name, "."+z.domain)]
	*exists = known
	for _, c := range all {
		addrs = append(addrs, c.addr)
	}
	return addrs
}
