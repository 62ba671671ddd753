package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{
		{[]float64{7}, 7},
		{[]float64{3, 1}, 2},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 100, 2}, 3},
	} {
		before := slices.Clone(c.of)
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.of, got, c.want)
		}
		if !slices.Equal(before, c.of) {
			t.Errorf("median changed its argument %v to %v", before, c.of)
		}
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	for _, c := range []struct {
		name string
		of   []int
		q    float64
		want int
	}{
		{"p50 of 1..100", hundred, 0.5, 50},
		{"p99 of 1..100", hundred, 0.99, 99},
		{"p99 of few is the greatest", []int{3, 1, 2}, 0.99, 3},
		{"of one", []int{8}, 0.5, 8},
		{"p0", []int{8, 9}, 0, 8},
		{"p100", []int{8, 9}, 1, 9},
	} {
		if got := quantile(c.of, c.q); got != c.want {
			t.Errorf("%s: quantile = %d, want %d", c.name, got, c.want)
		}
	}
}

// threePeers are results of two rounds: meshnet, a peer that is half as fast and has no daemons, one that fails.
func threePeers() *results {
	c := condition{Name: "loss1", Text: "lossy", Metrics: []metric{tcp1, udp64, pings}}
	ps := []peer{{Name: "meshnet", Layer: 2, Version: "v1"}, {Name: "half", Layer: 3, Version: "v2"}, {Name: "gone", Layer: 2, Err: errors.New("not in Debian")}}
	r := newResults([]condition{c}, ps)
	for _, x := range []float64{1, 3} {
		r.add(c, ps[0], tcp1, sample{Gbps: 2 * x, CPU: 0.25, HasCPU: true})
		r.add(c, ps[1], tcp1, sample{Gbps: x})
		r.add(c, ps[0], udp64, sample{PPS: 1000 * x})
		r.add(c, ps[0], pings, sample{RTT: 100 * time.Microsecond, RTTP99: time.Millisecond})
		r.add(c, ps[1], pings, sample{RTT: 4 * time.Millisecond, RTTP99: time.Millisecond})
	}
	return r
}

func TestTable(t *testing.T) {
	r := threePeers()
	const want = `
|         | TCP ×1 a→b Gbit/s | UDP 64 B kpkt/s | ping median ms |   ping p99 ms | core-s/Gbit |
|---------|------------------:|----------------:|---------------:|--------------:|------------:|
| meshnet |              4.00 |             2.0 |          0.100 |         1.000 |       0.250 |
| half    |      2.00 (×0.50) |               – |    4.000 (×40) | 1.000 (×1.00) |           – |
| gone *  |                 – |               – |              – |             – |           – |
`
	if got := "\n" + r.table(r.conditions[0]); got != want {
		t.Errorf("table:%s\nwant:%s", got, want)
	}
}

// "A peer that cannot be had or does not carry frames is in the tables with the reason."
func TestReasons(t *testing.T) {
	cs := []condition{{Name: "one"}, {Name: "two"}, {Name: "three"}}
	ps := []peer{{Name: "p"}, {Name: "absent", Err: errors.New("not in Debian")}}
	r := newResults(cs, ps)
	r.fail(cs[1], ps[0], errors.New("no ping"))
	r.fail(cs[1], ps[0], errors.New("a later reason"))
	r.fail(cs[0], ps[0], errors.New("no link\nand its log"))
	r.fail(cs[2], ps[0], errors.New("no ping"))
	var got []string
	for _, x := range r.reasons() {
		got = append(got, x.Peer+" ("+strings.Join(x.Conditions, ",")+") "+x.Text)
	}
	want := []string{"p (one) no link", "p (two,three) no ping", "absent (one,two,three) not in Debian"}
	if !slices.Equal(got, want) {
		t.Errorf("reasons = %q, want %q", got, want)
	}
}

func TestRatio(t *testing.T) {
	for x, want := range map[float64]string{0.5: "×0.50", 1: "×1.00", 9.94: "×9.94", 9.96: "×10", 40.2: "×40"} {
		if got := ratio(x); got != want {
			t.Errorf("ratio(%v) = %s, want %s", x, got, want)
		}
	}
}

func TestReportTellsWhatItRestsOn(t *testing.T) {
	r := threePeers()
	got := r.report(options{rounds: 2, length: 3 * time.Second}, "A CPU, 2 cores")
	for _, want := range []string{"A CPU, 2 cores", "2 rounds of 3s", "### loss1", "Lossy.", "- gone (loss1): not in Debian", "| half    |     3 |      v2 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("the report lacks %q:\n%s", want, got)
		}
	}
}

func TestPlotHasABarForEachPeer(t *testing.T) {
	got := threePeers().plot()
	for _, want := range []string{`width="540.0" height="16" fill="#1f6feb"`, `width="270.0" height="16" fill="#8b949e"`, `width="0.0"`, ">4.00<", ">2.00<", ">–<", ">gone<"} {
		if !strings.Contains(got, want) {
			t.Errorf("the plot lacks %s:\n%s", want, got)
		}
	}
}

func TestAddTable(t *testing.T) {
	ms := func(n ...int) (ds []time.Duration) {
		for _, x := range n {
			ds = append(ds, time.Duration(x)*time.Millisecond)
		}
		return ds
	}
	times := addTimes{
		Add: map[string][]time.Duration{"cni-meshnet": ms(5, 6, 20), "reference": ms(10, 12, 40)},
		Del: map[string][]time.Duration{"cni-meshnet": ms(30), "reference": ms(20)},
	}
	r := &addResults{Names: []string{"cni-meshnet", "reference"}, Sequential: times, AtOnce: times}
	got := strings.SplitAfter(r.table(), "\n")
	for i, want := range map[int]string{
		2: "| cni-meshnet, one after another | 6.0 (×0.50) | 20.0 (×0.50) | 30.0 (×1.50) | 30.0 (×1.50) |\n",
		3: "| reference, one after another   |        12.0 |         40.0 |         20.0 |         20.0 |\n",
	} {
		if got[i] != want {
			t.Errorf("line %d of the table = %q, want %q", i, got[i], want)
		}
	}
	failed := (&addResults{Err: errors.New("no proxy\nsecond line")}).table()
	if want := "Not measured: no proxy second line\n"; failed != want {
		t.Errorf("table of what failed = %q, want %q", failed, want)
	}
}
