package registry

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata with what the registry answers")

// TestTranscripts plays testdata/*.txt. A line that begins with "#" is prose, one that begins with ">" a command, and
// the lines that follow it, indented, are the answer and then what the registry holds, where that changed.
//
//	> 90s                        time passes
//	> clock 8760h                the clock jumps
//	> a claim have=…             node a sends; its instance, epoch, sequence number and generation are as it last learned, unless given
//	> remove-node to=a           somebody else sends
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			old, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(old))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(old) {
				t.Errorf("%s: the registry answers otherwise; run with -update and read the diff:\n%s", file, firstDifference(string(old), got))
			}
		})
	}
}

func firstDifference(old, got string) string {
	a, b := strings.Split(old, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d:\n-%s\n+%s", i+1, a[i], b[i])
		}
	}
	return "one is longer"
}

type player struct {
	*world
	callers map[string]*Command // instance, epoch, sequence and generation by name
	held    string
}

func play(t *testing.T, text string) string {
	p := &player{world: newWorld(t), callers: make(map[string]*Command)}
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line)
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "> "); ok {
			p.line(&out, strings.Fields(command))
		}
	}
	return out.String()
}

func (p *player) line(out *bytes.Buffer, words []string) {
	p.t.Helper()
	if d, err := time.ParseDuration(words[0]); err == nil {
		p.pass(d)
		p.show(out)
		return
	}
	if words[0] == "clock" {
		d, err := time.ParseDuration(words[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
		return
	}
	var c Command
	name := ""
	if op(words[0]) == 0 {
		name, words = words[0], words[1:]
		c = *p.caller(name)
		c.Seq++
	}
	if c.Op = op(words[0]); c.Op == 0 {
		p.t.Fatalf("unknown operation %q", words[0])
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		p.set(&c, key, value)
	}
	r := p.do(c)
	if name != "" {
		p.learn(p.caller(name), c, r)
	}
	answer(out, r)
	p.show(out)
}

func (p *player) caller(name string) *Command {
	if p.callers[name] == nil {
		p.callers[name] = &Command{Node: node(name), Name: name, Instance: 1}
	}
	return p.callers[name]
}

func (p *player) learn(own *Command, c Command, r Result) {
	if c.Instance >= own.Instance {
		own.Instance, own.Seq = c.Instance, max(c.Seq, own.Seq)
	}
	if r.Code == OK && c.Op == OpRefresh {
		own.Epoch, own.Generation = r.Epoch, r.Generation
	}
}

func op(s string) Op { return Op(max(0, slices.Index(opNames[:], s))) }

func (p *player) set(c *Command, key, value string) {
	p.t.Helper()
	number, _ := strconv.ParseUint(value, 10, 64)
	switch key {
	case "id":
		c.Registry = ID{byte(number)}
	case "node":
		c.Node = node(value)
	case "instance":
		c.Instance, c.Seq = number, 1
	case "epoch":
		c.Epoch = number
	case "seq":
		c.Seq = number
	case "generation":
		c.Generation = number
	case "journal":
		c.Journal = number
	case "to":
		c.To = node(value)
	case "to-epoch":
		c.ToEpoch = number
	case "for":
		c.Attachment = value
	case "comment":
		c.Comment, c.Range.Comment = value, value
	case "addr":
		c.Addr = addr(value)
	case "block":
		c.Block = block(value)
	case "pool":
		c.Pool = block(value)
	case "pools":
		for s := range strings.SplitSeq(value, ",") {
			c.Pools = append(c.Pools, pool(s))
		}
	case "have":
		for s := range strings.SplitSeq(value, ",") {
			c.Have = append(c.Have, block(s))
		}
	case "uses":
		for s := range strings.SplitSeq(value, ",") {
			c.Uses = append(c.Uses, BlockUse{Block: block(s), Leased: 1})
		}
	case "claims":
		for s := range strings.SplitSeq(value, ",") {
			c.Claims = append(c.Claims, AddressUse{Addr: addr(s), Attachment: "c/eth0"})
		}
	case "range":
		first, last, _ := strings.Cut(value, "-")
		c.Range.First, c.Range.Last = addr(first), addr(last)
	default:
		p.t.Fatalf("unknown field %q", key)
	}
}

func answer(out *bytes.Buffer, r Result) {
	if err := r.Err(); err != nil {
		fmt.Fprintf(out, "  %v: %v\n", r.Code, err)
	} else {
		fmt.Fprintf(out, "  ok")
		if r.Epoch != 0 {
			fmt.Fprintf(out, ", epoch %d", r.Epoch)
		}
		for _, g := range r.Blocks {
			fmt.Fprintf(out, ", block %v", g.Block)
			for _, a := range g.Except {
				fmt.Fprintf(out, " without %v", a)
			}
		}
		for _, u := range r.Claims {
			fmt.Fprintf(out, ", address %v for %s", u.Addr, u.Attachment)
		}
		for _, b := range r.Lost {
			fmt.Fprintf(out, ", lost %v", b)
		}
		for _, a := range r.LostClaims {
			fmt.Fprintf(out, ", lost %v", a)
		}
		fmt.Fprintln(out)
	}
}

// show writes what the registry holds if that has changed.
func (p *player) show(out *bytes.Buffer) {
	s, err := Load(p.records)
	if err != nil {
		return
	}
	var b strings.Builder
	for _, prefix := range slices.SortedFunc(maps.Keys(s.Blocks), comparePrefix) {
		v := s.Blocks[prefix]
		if v.Until.IsZero() {
			fmt.Fprintf(&b, "  | %v: %s, epoch %d\n", prefix, s.Nodes[v.Owner].Name, v.Epoch)
		} else {
			fmt.Fprintf(&b, "  | %v: cools until %v\n", prefix, v.Until.Sub(start))
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(s.Claims), netip.Addr.Compare) {
		v := s.Claims[a]
		if v.Until.IsZero() {
			fmt.Fprintf(&b, "  | %v: %s on %s\n", a, v.Attachment, s.Nodes[v.Owner].Name)
		} else {
			fmt.Fprintf(&b, "  | %v: cools until %v\n", a, v.Until.Sub(start))
		}
	}
	if held := b.String(); held != p.held {
		p.held = held
		if held == "" {
			held = "  | all is free\n"
		}
		out.WriteString(held)
	}
}
