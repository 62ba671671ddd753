package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/plugins/internal/meshdtest"
)

// fakeIPAM is the name of an IPAM plugin that gives what its configuration says, and writes down what it was asked.
const fakeIPAM = "fake-ipam"

// fakeMain is the main function of that plugin.
func fakeMain() {
	stdin, _ := io.ReadAll(os.Stdin)
	var conf struct {
		CNIVersion string
		IPAM       struct {
			Log    string
			Fail   string // command, or "ADD CHECK"
			Result json.RawMessage
		}
	}
	if err := json.Unmarshal(stdin, &conf); err != nil {
		fmt.Printf(`{"code":6,"msg":%q}`, err.Error())
		os.Exit(1)
	}
	command := os.Getenv("CNI_COMMAND")
	log, err := os.OpenFile(conf.IPAM.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(log, command, os.Getenv("CNI_CONTAINERID"), os.Getenv("CNI_IFNAME"))
	}
	if strings.Contains(conf.IPAM.Fail, command) {
		fmt.Printf(`{"cniVersion":%q,"code":142,"msg":"no more addresses"}`, conf.CNIVersion)
		os.Exit(1)
	}
	if command == "ADD" {
		os.Stdout.Write(conf.IPAM.Result)
	}
}

// delegating returns r with the fake IPAM plugin that gives result, a JSON object of version 1.0.0.
func delegating(t *testing.T, r run, result, fail string) (delegated run, log func() string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r.path = t.TempDir()
	if err := os.Symlink(self, filepath.Join(r.path, fakeIPAM)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.path, "log")
	log = func() string {
		text, _ := os.ReadFile(file)
		os.Remove(file)
		return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "; ")
	}
	return r.set("ipam", map[string]any{"type": fakeIPAM, "log": file, "fail": fail, "result": json.RawMessage(result)}), log
}

const given = `{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.5/24","gateway":"192.0.2.1"},{"address":"2001:db8::5/64"}],` +
	`"routes":[{"dst":"198.51.100.0/24"},{"dst":"0.0.0.0/0","gw":"192.0.2.254"}],"dns":{"nameservers":["192.0.2.53"]}}`

// The addresses are those of the IPAM plugin, which is asked for ADD, CHECK, STATUS, GC and DEL.
func TestDelegated(t *testing.T) {
	r, log := delegating(t, start(t, meshdtest.New(), "1.1.0"), given, "")
	out := mustExec(t, r)
	result := parseResult(t, out)
	var ips []string
	for _, ip := range result.IPs {
		ips = append(ips, fmt.Sprintf("%v by %v", ip.Address.String(), ip.Gateway))
	}
	if got, want := strings.Join(ips, ", "), "192.0.2.5/24 by 192.0.2.1, 2001:db8::5/64 by <nil>"; got != want {
		t.Errorf("ips = %s, want %s", got, want)
	}
	if got := fmt.Sprint(result.DNS.Nameservers); got != "[192.0.2.53]" {
		t.Errorf("nameservers = %s, want those of the IPAM plugin", got)
	}
	if got := inside(t, r.netns, "ip", "route"); !strings.Contains(got, "198.51.100.0/24 via 192.0.2.1 dev eth0") || !strings.Contains(got, "default via 192.0.2.254") {
		t.Errorf("routes in the container are\n%s", got)
	}
	done := r.set("prevResult", json.RawMessage(out))
	mustExec(t, done.with("CHECK"))
	mustExec(t, r.with("STATUS"))
	mustExec(t, r.with("GC").set("cni.dev/valid-attachments", alive("c1")))
	mustExec(t, r.with("GC")) // without a list
	mustExec(t, done.with("DEL"))
	mustExec(t, r.with("DEL"))
	if got, want := log(), "ADD c1 eth0; CHECK c1 eth0; STATUS c1 eth0; GC c1 eth0; DEL c1 eth0; DEL c1 eth0"; got != want {
		t.Errorf("the IPAM plugin was asked %s, want %s", got, want)
	}
}

// The mesh's own IPv6 address is there beside them if it is asked for.
func TestDelegatedWithIPv6(t *testing.T) {
	r, _ := delegating(t, start(t, meshdtest.New(), "1.1.0"), given, "")
	r = r.set("ipv6", true)
	out := mustExec(t, r)
	if ips := parseResult(t, out).IPs; len(ips) != 3 || !strings.HasPrefix(ips[0].Address.String(), "fd00:1:2:") {
		t.Errorf("ips = %v, want the mesh's and two", ips)
	}
	mustExec(t, r.set("prevResult", json.RawMessage(out)).with("CHECK"))
}

// A second ADD does not reach the IPAM plugin: its DEL would take the addresses of the container that runs.
func TestDelegatedTwice(t *testing.T) {
	r, log := delegating(t, start(t, meshdtest.New(), "1.1.0"), given, "")
	mustExec(t, r)
	log()
	if _, err := r.exec(t); err == nil {
		t.Error("a second ADD succeeded")
	}
	if got := log(); got != "" {
		t.Errorf("the IPAM plugin was asked %s, want nothing", got)
	}
}

// "Should execute again with DEL": whatever fails in ADD, nothing remains, of the IPAM plugin, in meshd, on the host.
func TestDelegatedUndoes(t *testing.T) {
	rows := []struct {
		name, result, fail string
		change             func(*meshdtest.Backend)
		code               uint
		want               string
	}{
		{name: "IPAM fails", result: given, fail: "ADD", code: 142, want: "IPAM plugin fake-ipam: no more addresses"},
		{name: "no address", result: `{"cniVersion":"1.0.0","ips":[]}`, code: types.ErrInvalidNetworkConfig, want: "it gave no address"},
		{name: "not a result", result: `[]`, code: types.ErrInvalidNetworkConfig, want: "IPAM plugin fake-ipam: "},
		{name: "no bridge", result: given, change: func(b *meshdtest.Backend) { b.Net.Bridge = "none0" }, code: 101, want: "no bridge none0"},
		{name: "gateway elsewhere", result: `{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.5/24","gateway":"203.0.113.1"}]}`,
			code: types.ErrInvalidNetworkConfig, want: "gateway 203.0.113.1 is in the subnet of none"},
		{name: "bad route", result: `{"cniVersion":"1.0.0","ips":[{"address":"192.0.2.5/24"}],"routes":[{"dst":"198.51.100.0/24","gw":"203.0.113.1"}]}`,
			code: 101, want: "198.51.100.0/24"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := meshdtest.New()
			if row.change != nil {
				row.change(b)
			}
			r, log := delegating(t, start(t, b, "1.0.0"), row.result, row.fail)
			_, err := r.exec(t)
			var e *types.Error
			if !errors.As(err, &e) || e.Code != row.code || !strings.Contains(e.Msg, row.want) {
				t.Errorf("ADD = %v, want code %d with %q", err, row.code, row.want)
			}
			if got := log(); got != "ADD c1 eth0; DEL c1 eth0" {
				t.Errorf("the IPAM plugin was asked %s, want ADD and DEL", got)
			}
			if got := held(t, r); got != "" {
				t.Errorf("%s has a lease", got)
			}
		})
	}
}

// What fails in the IPAM plugin does not keep DEL and GC from what is meshd's.
func TestDelegatedDelFails(t *testing.T) {
	for _, command := range []string{"DEL", "GC"} {
		t.Run(command, func(t *testing.T) {
			r, _ := delegating(t, start(t, meshdtest.New(), "1.1.0"), given, command)
			mustExec(t, r)
			_, err := r.with(command).set("cni.dev/valid-attachments", alive()).exec(t)
			if err == nil || !strings.Contains(err.Error(), "no more addresses") {
				t.Errorf("%s = %v, want the IPAM plugin's error", command, err)
			}
			if got := held(t, r); got != "" {
				t.Errorf("after %s there is %s", command, got)
			}
		})
	}
}

func parseResult(t *testing.T, out []byte) *types100.Result {
	t.Helper()
	result, err := types100.NewResult(out)
	if err != nil {
		t.Fatal(err)
	}
	return result.(*types100.Result)
}
