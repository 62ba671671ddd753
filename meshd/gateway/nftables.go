package gateway

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// ensureTable makes the table, or makes it anew if it is not as it should be: somebody flushed or changed it, or an older meshd made it.
// It is replaced at once, so that nothing passes in between; connections live on.
func ensureTable(c Config) error {
	want := chains(c)
	mark, err := generation(want)
	if err != nil {
		return err
	}
	nft := &nftables.Conn{}
	if isAsWanted(nft, c.Table, want, mark) {
		return nil
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: c.Table}
	nft.AddTable(table) // or there might be none to be deleted
	nft.DelTable(table)
	nft.AddTable(table)
	policy := nftables.ChainPolicyAccept
	for _, w := range want {
		ch := &nftables.Chain{Name: w.name, Table: table}
		if w.hook != nil {
			ch.Type, ch.Hooknum, ch.Priority, ch.Policy = w.kind, w.hook, w.priority, &policy
		}
		nft.AddChain(ch)
		for _, r := range w.rules {
			nft.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: r.exprs, UserData: comment(r, mark)})
		}
	}
	return nftError(nft.Flush())
}

// isAsWanted reports whether the table has these chains and rules, in use. What cannot be read is not.
func isAsWanted(nft *nftables.Conn, name string, want []chain, mark string) bool {
	table, err := nft.ListTableOfFamily(name, nftables.TableFamilyINet)
	if err != nil || table == nil || table.Flags != 0 { // flag: dormant
		return false
	}
	all, err := nft.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return false
	}
	found := make(map[string]*nftables.Chain)
	for _, ch := range all {
		if ch.Table.Name == name {
			found[ch.Name] = ch
		}
	}
	if len(found) != len(want) {
		return false
	}
	for _, w := range want {
		ch := found[w.name]
		if ch == nil || !w.hookedAs(ch) {
			return false
		}
		rules, err := nft.GetRules(table, ch)
		if err != nil || !w.marks(rules, mark) {
			return false
		}
	}
	return true
}

// hookedAs reports whether a chain of the kernel sees the packets that w is to see, and lets through what it does not know.
func (w *chain) hookedAs(ch *nftables.Chain) bool {
	if w.hook == nil {
		return ch.Hooknum == nil
	}
	return ch.Type == w.kind && ch.Hooknum != nil && *ch.Hooknum == *w.hook && ch.Priority != nil && *ch.Priority == *w.priority &&
		ch.Policy != nil && *ch.Policy == nftables.ChainPolicyAccept
}

// marks reports whether rules of the kernel are those of w, in their order.
func (w *chain) marks(rules []*nftables.Rule, mark string) bool {
	if len(rules) != len(w.rules) {
		return false
	}
	for i, r := range w.rules {
		if !bytes.Equal(rules[i].UserData, comment(r, mark)) {
			return false
		}
	}
	return true
}

// removeTable removes the table; that there is none is no error.
func removeTable(name string) error {
	nft := &nftables.Conn{}
	nft.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: name})
	if err := nft.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return nftError(err)
	}
	return nil
}

func nftError(err error) error {
	if err != nil {
		return fmt.Errorf("nftables: %w (the kernel needs nf_tables with NAT in the family inet: Linux 5.2)", err)
	}
	return nil
}
