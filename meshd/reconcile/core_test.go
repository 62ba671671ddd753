package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meshnet/ipam"
)

var (
	web = ipam.Attachment{Container: "web", IfName: "eth0"}
	db  = ipam.Attachment{Container: "db", IfName: "eth0"}
)

// begin is when the tests begin.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func lease(a ipam.Attachment) ipam.Lease {
	return ipam.Lease{Attachment: a, Holder: ipam.Holder{Source: "cni", NetNS: "/run/netns/" + a.Container}, Created: begin}
}

// TestCore runs scripts of one lease. A step is the minutes since the last one, and what is observed: g(one), p(resent),
// u(nsure); or what happens: a(ttached), h(older changed), l(ease made anew). A step that ends with ! frees the lease.
func TestCore(t *testing.T) {
	rows := []struct {
		name    string
		earlier bool
		script  string
	}{
		{"a lease is freed when its interface was missing in two observations and for the grace", false, "0g 1g 1g 1g 1g 1g!"},
		{"two observations are enough", false, "0g 5g!"},
		{"however long ago, one observation is not", false, "0p 60g 4g 1g!"},
		{"observations less than a minute apart count once", false, "4g 0.5g 4.5g!"},
		{"what fails is repeated", false, "0g 5g! 1g! 1g!"},
		{"and in all in between: seen once, it begins anew", false, "0g 4p 1g 1g 1g 1g 1g 0.9g 0.1g!"},
		{"unsure is not missing", false, "0g 4u 1g 4g 0.9g 0.1g!"},
		{"unsure frees nothing, however long", false, "0u 60u 60u 6000u"},
		{"attaching again takes back what was found", false, "0g 4g 0a 1g 4g 0.5g 0.5g!"},
		{"attached between two observations", false, "0g 5a 0g 4.9g 0.1g!"},
		{"another holder begins anew", false, "0g 4g 0h 1g 4g 1g!"},
		{"another lease of the same attachment begins anew", false, "0g 4g 0l 1g 4g 1g!"},
		{"a boot ago: unsure is gone", true, "0u 1u 3u 1u!"},
		{"a boot ago: gone", true, "0g 1u 3g 1g!"},
		{"a boot ago, attached again", true, "0u 4u 0a 1u 60u 600u"},
		{"a boot ago, attached again, gone again", true, "0a 1u 60g 4g 1g!"},
		{"a boot ago, but seen", true, "0u 4p 1u 60u 600u"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := newCore(5*time.Minute, time.Minute)
			c.earlier[web] = row.earlier
			runScript(t, c, row.script)
		})
	}
}

func runScript(t *testing.T, c *core, script string) {
	t.Helper()
	now, l := begin.Add(time.Hour), lease(web)
	for _, step := range strings.Fields(script) {
		word, free := strings.CutSuffix(step, "!")
		after, err := time.ParseDuration(word[:len(word)-1] + "m")
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(after)
		o := Observation{Lease: l}
		switch word[len(word)-1] {
		case 'a':
			c.attached(web)
			continue
		case 'h':
			l.Holder.NetNS += "2"
			continue
		case 'l':
			l.Created = l.Created.Add(time.Second)
			continue
		case 'g':
			o.State = Gone
		case 'p':
			o.State = Present
		}
		if due := c.step(now, []Observation{o}); (len(due) == 1) != free {
			t.Errorf("after %v, at step %s: due = %v", now.Sub(begin.Add(time.Hour)), step, due)
		}
	}
}

// Leases do not influence each other, and one that is no more is forgotten.
func TestCoreOfTwo(t *testing.T) {
	c := newCore(5*time.Minute, time.Minute)
	gone := func(a ipam.Attachment) Observation { return Observation{Lease: lease(a), State: Gone} }
	steps := []struct {
		after time.Duration
		seen  []Observation
		want  []ipam.Attachment
	}{
		{0, []Observation{gone(web), {Lease: lease(db), State: Present}}, nil},
		{3 * time.Minute, []Observation{gone(web), gone(db)}, nil},
		{5 * time.Minute, []Observation{gone(web), gone(db)}, []ipam.Attachment{web}},
		{6 * time.Minute, []Observation{gone(db)}, nil}, // web is released, and may be leased again
		{8 * time.Minute, []Observation{gone(web), gone(db)}, []ipam.Attachment{db}},
		{9 * time.Minute, nil, nil},
	}
	for _, s := range steps {
		if due := c.step(begin.Add(s.after), s.seen); !slices.Equal(due, s.want) {
			t.Errorf("after %v: due = %v, want %v", s.after, due, s.want)
		}
	}
	if len(c.absent) != 0 || len(c.earlier) != 0 {
		t.Errorf("%d absences and %d leases of an earlier boot remain without a lease", len(c.absent), len(c.earlier))
	}
}

// Whatever is observed, in whatever order: what is due was gone for the grace, without having been seen or attached since.
func FuzzCore(f *testing.F) {
	f.Add([]byte("ggggggg"), false)
	f.Add([]byte("guuuagp"), true)
	f.Fuzz(func(t *testing.T, script []byte, earlier bool) {
		c := newCore(5*time.Minute, time.Minute)
		c.earlier[web] = earlier
		now, alive := begin, begin // when it was last known to live
		for _, b := range script {
			now = now.Add(time.Duration(b>>3) * 10 * time.Second)
			o := Observation{Lease: lease(web), State: State(b & 3 % 3)}
			if b&4 != 0 {
				c.attached(web)
				alive, earlier = now, false
				continue
			}
			if o.State == Present || o.State == Unsure && !earlier {
				alive = now
			}
			earlier = earlier && o.State != Present
			due := c.step(now, []Observation{o})
			if len(due) > 0 && (o.State == Present || now.Sub(alive) < 5*time.Minute) {
				t.Fatal(fmt.Errorf("due %v after it lived, at %v of %v", now.Sub(alive), o.State, script))
			}
		}
	})
}
