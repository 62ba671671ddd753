package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"meshnet/meshd/api"
	"meshnet/plugins/internal/meshdtest"
)

// ips is the value of args.cni and of runtimeConfig.
func ips(list ...string) map[string]any { return map[string]any{"ips": list} }

func TestRequestedIPv4(t *testing.T) {
	rows := []struct {
		name string
		conf string
		args string // CNI_ARGS
		want string
		err  string // a part of it
	}{
		{name: "none asked for", conf: `{}`},
		{name: "runtimeConfig", conf: `{"runtimeConfig":{"ips":["10.77.0.9"]}}`, want: "10.77.0.9"},
		{name: "with a length", conf: `{"runtimeConfig":{"ips":["10.77.0.9/24"]}}`, want: "10.77.0.9"},
		{name: "args", conf: `{"args":{"cni":{"ips":["10.77.0.8"]}}}`, want: "10.77.0.8"},
		{name: "CNI_ARGS", conf: `{}`, args: "IgnoreUnknown=1;IP=10.77.0.7;K8S_POD_NAME=a", want: "10.77.0.7"},
		{name: "CNI_ARGS without", conf: `{}`, args: "IgnoreUnknown=true;K8S_POD_IP=10.77.0.7;IP=;"},
		{name: "args before CNI_ARGS", conf: `{"args":{"cni":{"ips":["10.77.0.8"]}}}`, args: "IP=10.77.0.7", want: "10.77.0.8"},
		{name: "runtimeConfig before both", conf: `{"args":{"cni":{"ips":["10.77.0.8"]}},"runtimeConfig":{"ips":["10.77.0.9"]}}`,
			args: "IP=10.77.0.7", want: "10.77.0.9"},
		{name: "an empty list", conf: `{"runtimeConfig":{"ips":[]}}`, args: "IP=10.77.0.7", want: "10.77.0.7"},
		{name: "ipv4 false", conf: `{"ipv4":false}`, want: api.NoIPv4},
		{name: "ipv4 true", conf: `{"ipv4":true}`},
		{name: "ipv4 true and an address", conf: `{"ipv4":true}`, args: "IP=10.77.0.7", want: "10.77.0.7"},
		{name: "ipv4 false and an address", conf: `{"ipv4":false}`, args: "IP=10.77.0.7", err: "ipv4 is false, and the address 10.77.0.7 is asked for"},
		{name: "two", conf: `{"runtimeConfig":{"ips":["10.77.0.8","10.77.0.9"]}}`, err: "10.77.0.8, 10.77.0.9 are asked for"},
		{name: "IPv6", conf: `{"runtimeConfig":{"ips":["fd00::9/64"]}}`, err: "only IPv4 addresses can be chosen"},
		{name: "no address", conf: `{}`, args: "IP=web", err: `"web", is none`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c, err := parseConfig([]byte(row.conf))
			if err != nil {
				t.Fatal(err)
			}
			r, err := wanted(&skel.CmdArgs{ContainerID: "c1", IfName: "eth0", Args: row.args}, c)
			got := r.IPv4
			if row.err == "" && (err != nil || got != row.want) {
				t.Errorf("IPv4 wanted = %q, %v, want %q", got, err, row.want)
			}
			var e *types.Error
			if row.err != "" && (!errors.As(err, &e) || e.Code != types.ErrInvalidNetworkConfig || !strings.Contains(e.Msg, row.err)) {
				t.Errorf("wanted error = %v, want code %d with %q", err, types.ErrInvalidNetworkConfig, row.err)
			}
		})
	}
}

// What is asked for is what the container gets, and an ADD that asks for too much makes nothing.
func TestIPv4(t *testing.T) {
	rows := []struct {
		name   string
		change func(run) run
		want   []string // beginnings of the addresses
	}{
		{"any", func(r run) run { return r }, []string{"fd00:1:2:", "10.77.0."}},
		{"one", func(r run) run { return r.set("runtimeConfig", ips("10.77.3.9")) }, []string{"fd00:1:2:", "10.77.3.9/16"}},
		{"CNI_ARGS", func(r run) run { r.args = "IP=10.77.3.8"; return r }, []string{"fd00:1:2:", "10.77.3.8/16"}},
		{"none", func(r run) run { return r.set("ipv4", false) }, []string{"fd00:1:2:"}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := row.change(start(t, meshdtest.New(), "1.1.0"))
			out := mustExec(t, r)
			result, err := types100.NewResult(out)
			if err != nil {
				t.Fatal(err)
			}
			got := result.(*types100.Result).IPs
			if len(got) != len(row.want) {
				t.Fatalf("ips = %v, want %v", got, row.want)
			}
			for i, want := range row.want {
				if !strings.HasPrefix(got[i].Address.String(), want) {
					t.Errorf("address %d = %v, want %s…", i, got[i].Address.String(), want)
				}
			}
			r = r.set("prevResult", json.RawMessage(out))
			mustExec(t, r.with("CHECK"))
			r.args = "IP=what never was an address" // "DEL succeeds": what was asked for does not matter
			mustExec(t, r.with("DEL"))
		})
	}
}
