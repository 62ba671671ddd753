package lab

import (
	"fmt"
	"strings"
	"time"
)

// lxdClusterPreseed is the configuration of a cluster's first member; lxdJoinPreseed that of the others.
const (
	lxdClusterPreseed = `config: {images.auto_update_interval: "0", core.https_address: "%s:8443"}
cluster: {server_name: %s, enabled: true}
storage_pools: [{name: default, driver: dir}]
profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]
`
	lxdJoinPreseed = `cluster:
  enabled: true
  server_address: "%s:8443"
  cluster_token: %s
`
)

// LXDCluster starts LXD on all hosts as one cluster, whose members are called as the hosts, with the image "dhcp".
func (l *Lab) LXDCluster(hosts ...*Host) []*Process {
	l.tb.Helper()
	var daemons []*Process
	for i, h := range hosts {
		h.Output("mkdir", "-p", lxdDir)
		daemons = append(daemons, h.RestartLXD())
		preseed := fmt.Sprintf(lxdClusterPreseed, h.IPv4, h.Name)
		if i > 0 {
			token := hosts[0].LXDCommand("cluster", "add", h.Name, "-q")
			preseed = fmt.Sprintf(lxdJoinPreseed, h.IPv4, strings.TrimSpace(token))
		}
		if r := h.TryInput(preseed, h.lxd("lxd", "init", "--preseed")...); r.Code != 0 {
			l.tb.Fatalf("%s: lxd init: exit %d: %s\n%s", h.Name, r.Code, r.Stderr, preseed)
		}
	}
	hosts[0].Within(30*time.Second, "all members of LXD's cluster are online", func() bool {
		return strings.Count(hosts[0].LXDCommand("cluster", "list", "--format", "csv"), ",ONLINE,") == len(hosts)
	}, func() string { return hosts[0].LXDCommand("cluster", "list") })
	hosts[0].writeImages()
	return daemons
}
