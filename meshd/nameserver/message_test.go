package nameserver

import (
	"bytes"
	"testing"

	"github.com/miekg/dns"

	"meshnet/meshd/zone"
)

// An answer has the ID and the question; of the name's letters the case does not matter, of nothing else any bit.
func TestAnswers(t *testing.T) {
	query, err := normal(new(dns.Msg).SetQuestion("Www.Example.COM.", dns.TypeAAAA).SetEdns0(700, true))
	if err != nil {
		t.Fatal(err)
	}
	reply := bytes.Clone(query)
	reply[2] |= 0x80
	if !answers(reply, query) {
		t.Fatal("the answer is none")
	}
	end, _ := questionEnd(query)
	for i := range end {
		if i == 3 || i > 5 && i < headerLen {
			continue // flags and counts
		}
		for bit := range 8 {
			if i == 2 && bit != 7 {
				continue
			}
			forged := bytes.Clone(reply)
			forged[i] ^= 1 << bit
			letter := i >= headerLen && bit == 5 && query[i] >= 'a' && query[i] <= 'z'
			if got := answers(forged, query); got != letter {
				t.Errorf("with bit %d of byte %d changed it is an answer: %v", bit, i, got)
			}
		}
	}
	for i := range end {
		if answers(reply[:i], query) {
			t.Errorf("%d bytes are an answer", i)
		}
	}
}

func FuzzReply(f *testing.F) {
	q := new(dns.Msg).SetQuestion("Www.example.com.", dns.TypeA)
	query, _ := normal(q)
	m := new(dns.Msg).SetReply(q)
	for range 50 {
		r, _ := dns.NewRR("www.example.com. 60 IN A 192.0.2.1")
		m.Answer = append(m.Answer, r)
	}
	m.Id, m.Question[0].Name = 0, "www.example.com."
	b, _ := m.Pack()
	f.Add(b, 0)
	f.Add(b[:400], 700)
	f.Fuzz(func(t *testing.T, reply []byte, size int) {
		q := q.Copy()
		if size != 0 {
			q.SetEdns0(uint16(size), false)
		}
		_ = refuses(reply, query)
		if !answers(reply, query) {
			return
		}
		before := bytes.Clone(reply)
		limit := zone.Limit(q, false)
		got := fit(reply, q, limit)
		if len(got) > limit || len(got) < headerLen || got[2]&0x80 == 0 || !bytes.Contains(got, []byte("Www")) || !bytes.Equal(reply, before) {
			t.Fatalf("%x of %x, limit %d", got, reply, limit)
		}
		if len(reply) > limit && got[2]&0x02 == 0 {
			t.Fatalf("%x: nobody is told that it was cut", got)
		}
	})
}
