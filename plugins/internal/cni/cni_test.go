package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"meshnet/meshd/api"
	"meshnet/plugins/attach"
)

func TestParseArgs(t *testing.T) {
	rows := []struct{ text, want, err string }{
		{"", "[] ", ""},
		{"IP=10.77.0.9;MAC=02:00:00:00:00:01", "[10.77.0.9] 02:00:00:00:00:01", ""},
		{"IP=10.77.0.9,10.77.0.8;", "[10.77.0.9 10.77.0.8] ", ""},
		{"IgnoreUnknown=1;K8S_POD_NAME=a;IP=", "[] ", ""},
		{"K8S_POD_NAME=a;IgnoreUnknown=true", "[] ", ""},
		{"GATEWAY=10.77.0.1", "[] ", ""},
		{"MAC=a=b", "[] a=b", ""},
		{"ip=10.77.0.9", "", `unknown key "ip"`},
		{"IP", "", `"IP" is not KEY=VALUE`},
		{"=x", "", "is not KEY=VALUE"},
		{"IP=1;IP=2", "", `"IP" is there twice`},
		{"IgnoreUnknown=;x=1", "", "neither true nor false"},
	}
	for _, row := range rows {
		a, err := ParseArgs(row.text, "GATEWAY")
		if row.err == "" && (err != nil || fmt.Sprintf("%v %s", a.IPs, a.MAC) != row.want) {
			t.Errorf("ParseArgs(%q) = %+v, %v, want %s", row.text, a, err, row.want)
		}
		if row.err != "" && !isError(err, types.ErrInvalidEnvironmentVariables, row.err) {
			t.Errorf("ParseArgs(%q) error = %v, want %q", row.text, err, row.err)
		}
	}
}

func isError(err error, code uint, want string) bool {
	var e *types.Error
	return errors.As(err, &e) && e.Code == code && strings.Contains(e.Msg+"; "+e.Details, want)
}

func FuzzParseArgs(f *testing.F) {
	f.Add("IgnoreUnknown=1;K8S_POD_NAME=a;IP=10.77.0.9,10.77.0.8;MAC=02:00:00:00:00:01")
	f.Add(";;=;IP==;\x00")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseArgs(text)
		if err != nil && !errors.As(err, new(*types.Error)) {
			t.Errorf("ParseArgs(%q) error = %v, without a code", text, err)
		}
		for _, ip := range a.IPs {
			if !strings.Contains(text, ip) {
				t.Errorf("ParseArgs(%q) made up %q", text, ip)
			}
		}
	})
}

// "Null, or a missing list, never means that nothing is alive."
func FuzzValid(f *testing.F) {
	f.Add([]byte(`{"cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}],"cni.dev/attachments":null}`))
	f.Add([]byte(`{"cni.dev/valid-attachments":[]}`))
	f.Add([]byte(`{"cni.dev/attachments":[{"containerID":"a"}]}`))
	f.Fuzz(func(t *testing.T, stdin []byte) {
		keys, said, err := Valid(stdin)
		if err != nil && (said || keys != nil || !errors.As(err, new(*types.Error))) {
			t.Errorf("Valid(%q) = %v, %v with the error %v", stdin, keys, said, err)
		}
		if slices.ContainsFunc(keys, func(k attach.Key) bool { return k.Container == "" || k.IfName == "" }) {
			t.Errorf("Valid(%q) = %v", stdin, keys)
		}
		var raw map[string]json.RawMessage
		if said && (json.Unmarshal(stdin, &raw) != nil || len(raw) == 0) {
			t.Errorf("Valid(%q) says that there is a list", stdin)
		}
	})
}

func FuzzParseRoute(f *testing.F) {
	f.Add([]byte(`{"dst":"10.0.0.0/8","gw":"10.77.0.1","mtu":1400,"priority":3,"table":7,"scope":253}`))
	f.Add([]byte(`{"dst":"::ffff:10.0.0.0/104","gw":"::ffff:10.77.0.1"}`))
	f.Add([]byte(`{"dst":"::/0"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r *types.Route
		if json.Unmarshal(text, &r) != nil {
			return
		}
		parsed, err := ParseRoute(r)
		if err != nil {
			if !errors.As(err, new(*types.Error)) {
				t.Errorf("ParseRoute(%s) error = %v, without a code", text, err)
			}
			return
		}
		again, err := ParseRoute(Route(parsed))
		if err != nil || again.Dst != parsed.Dst || again.Gateway != parsed.Gateway || !parsed.Dst.IsValid() {
			t.Errorf("%s is %+v, and from that %+v, %v", text, parsed, again, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		`"10.77.0.1"`: "[10.77.0.1]", `["10.77.0.1","fd00::1"]`: "[10.77.0.1 fd00::1]", `["::ffff:10.77.0.1"]`: "[10.77.0.1]", `[]`: "[]", `null`: "[]",
		`["10.77.0.1","::ffff:10.77.0.2"]`: "too many", `"0.0.0.0"`: "not an address", `"fe80::1%eth0"`: "not an address", `"x"`: "not an address",
	} {
		var a Addresses
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			t.Fatal(err)
		}
		list, err := a.Parse()
		if got := fmt.Sprint(list); got != want && !isError(err, types.ErrInvalidNetworkConfig, want) {
			t.Errorf("Parse of %s = %s, %v, want %s", text, got, err, want)
		}
	}
}

// The codes are the specification's, those of docs/operations.md, and another plugin's own.
func TestCodes(t *testing.T) {
	for _, row := range []struct {
		err  error
		code uint
	}{
		{attach.ErrExists, 100}, {attach.ErrInterface, 101}, {attach.ErrNoNamespace, 8}, {attach.ErrHost, 8},
		{api.ErrUnreachable, 11}, {api.Errorf(api.Unavailable, "x"), 11}, {api.Errorf(api.Invalid, "x"), 7}, {api.Errorf(api.NotFound, "x"), 7},
		{api.Errorf(api.Conflict, "x"), 7}, {api.Errorf(api.Internal, "x"), 103}, {errors.New("x"), 103}, {types.NewError(142, "x", ""), 142},
	} {
		if err := Coded(fmt.Errorf("attaching: %w", row.err)); !isError(err, row.code, "attaching: ") {
			t.Errorf("Coded(%v) = %+v, want code %d", row.err, err, row.code)
		}
	}
	if err := Collected(nil, nil); err != nil {
		t.Errorf("Collected of nothing = %v", err)
	}
	if err := Collected(nil, errors.New("a"), errors.New("b")); !isError(err, 104, "collecting garbage: a; b") {
		t.Errorf("Collected = %v, want code 104", err)
	}
}

func TestParsePrefix(t *testing.T) {
	for _, text := range []string{"10.0.0.0/8", "0.0.0.0/0", "fd00::/48", "::/0", "10.0.0.1/32"} {
		want := netip.MustParsePrefix(text)
		if got, ok := ParsePrefix(IPNet(want)); !ok || got != want {
			t.Errorf("ParsePrefix of %s = %v, %v", text, got, ok)
		}
	}
}
