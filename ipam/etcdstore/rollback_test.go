package etcdstore

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meshnet/ipam"
	"meshnet/ipam/registry"
)

// "Nodes that were running notice … and refuse every command but OpRecover."
func TestBackupIsNoticed(t *testing.T) {
	members := startEtcd(t, 1, "http")
	at := address(t, members, "")
	s := open(t, Config{Address: at, Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience, Probe: 100 * time.Millisecond})
	other := open(t, Config{Address: at, Self: nodeID(2), Timeout: patience, Probe: 100 * time.Millisecond})
	as, asOther := admit(t, s), admit(t, other)
	blocks := []netip.Prefix{claim(t, s, as)}

	backup := filepath.Join(t.TempDir(), "backup")
	members[0].kill()
	copyDir(t, backup, members[0].dir)
	members[0].start(t)
	for range 3 {
		blocks = append(blocks, claim(t, s, as, blocks...))
	}
	owned(t, s, 4)
	owned(t, other, 4)
	members[0].kill()
	copyDir(t, members[0].dir, backup)
	members[0].start(t)

	for _, s := range []*Store{s, other} {
		noticed(t, s)
	}
	asOther.Op = registry.OpClaim
	if _, err := other.Do(t.Context(), asOther); !errors.Is(err, ipam.ErrNoStore) || !strings.Contains(err.Error(), "run `meshctl ipam recover`") {
		t.Fatalf("Claim after etcd was put back: error = %v, want one that names the way out", err)
	}
	must(t, s, registry.Command{Op: registry.OpRecover, Generation: 2})
	if r, err := other.Do(t.Context(), asOther); err != nil || !errors.Is(r.Err(), registry.ErrStaleGeneration) {
		t.Errorf("Claim after the recovery = %v, %v, want ErrStaleGeneration: the node has to say first what it owns", r.Err(), err)
	}
	asOther.Op, asOther.Name, asOther.Generation = registry.OpRefresh, "b", 2
	must(t, other, asOther)
	if err := other.Status().Err; err != nil {
		t.Errorf("Status().Err after the recovery = %v, want nil", err)
	}
}

// noticed waits until the store knows that etcd has lost something.
func noticed(t *testing.T, s *Store) {
	t.Helper()
	eventually(t, func() error {
		if err := s.Status().Err; err == nil || !strings.Contains(err.Error(), "etcd has forgotten records") {
			return errors.New("the store has not noticed that etcd has forgotten something")
		}
		return nil
	})
}

func TestDeletedKeysAreNoticed(t *testing.T) {
	members := startEtcd(t, 1, "http")
	s := open(t, Config{Address: address(t, members, ""), Self: nodeID(1), Init: initCommand("10.77.0.0/16"), Timeout: patience})
	as := admit(t, s)
	block := claim(t, s, as)
	owned(t, s, 1)
	if _, err := client(t, members[0]).Delete(t.Context(), s.prefix+recordsKey+"block/"+block.String()); err != nil {
		t.Fatal(err)
	}
	noticed(t, s)
	refuses(t, s, "etcd has forgotten records")
}
