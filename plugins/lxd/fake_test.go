package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	lxdapi "github.com/canonical/lxd/shared/api"

	"meshnet/meshd/api"
)

// fakeLXD answers requests of LXD's REST API as a real one cannot be made to. What is not said is answered with 404.
type fakeLXD struct {
	mu      sync.Mutex
	answers map[string]any // by "METHOD /path"; a string is an error's text
	calls   []string       // that change something
}

func (f *fakeLXD) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := r.Method + " " + r.URL.Path
	if target := r.URL.Query().Get("target"); target != "" {
		key += " " + target
	}
	if r.Method != http.MethodGet {
		f.calls = append(f.calls, key)
	}
	response := map[string]any{"type": "sync", "status": "Success", "status_code": 200}
	switch v, ok := f.answers[key]; v := v.(type) {
	case string:
		response = map[string]any{"type": "error", "error": v, "error_code": 500}
	case nil:
		if !ok {
			response = map[string]any{"type": "error", "error": "not found", "error_code": 404}
		}
	default:
		response["metadata"] = v
	}
	json.NewEncoder(w).Encode(response)
}

// start serves f on a socket until the test ends, and returns its path.
func (f *fakeLXD) start(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "unix.socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: f}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return socket
}

// aServer is what an LXD says of itself: a member called one of a cluster, if it is in one.
func aServer(clustered bool) lxdapi.Server {
	var s lxdapi.Server
	s.Auth = "trusted"
	s.APIExtensions = []string{"network", "projects", "instances", "instance_all_projects", "container_all_projects", "clustering", "event_lifecycle"}
	s.Environment.ServerClustered, s.Environment.ServerName = clustered, "one"
	return s
}

// Nothing is released because LXD fails, answers something else, or does not know who asks: an instance that is not listed has gone only if the
// list is one.
func TestNothingIsReleasedByAFailure(t *testing.T) {
	good := map[string]any{
		"GET /1.0": aServer(false), "GET /1.0/networks": []any{}, "GET /1.0/projects": []any{}, "GET /1.0/instances": []any{},
	}
	rows := []struct {
		name  string
		key   string
		value any
		says  string // "": no error, and what has gone is released
	}{
		{"all is well, and there is no instance", "", nil, ""},
		{"not trusted", "GET /1.0", lxdapi.Server{ServerUntrusted: lxdapi.ServerUntrusted{Auth: "untrusted"}}, "does not trust this user: be root"},
		{"it is starting", "GET /1.0", "LXD is not ready", "LXD is not ready"},
		{"no instances", "GET /1.0/instances", "database is locked", "asking LXD for its instances: database is locked"},
		{"no networks", "GET /1.0/networks", "database is locked", "asking LXD for its networks"},
		{"no projects", "GET /1.0/projects", "database is locked", "asking LXD for its projects"},
		{"something else than a list", "GET /1.0/instances", map[string]string{"a": "b"}, "asking LXD for its instances"},
	}
	for _, row := range rows {
		answers := make(map[string]any)
		for k, v := range good {
			answers[k] = v
		}
		answers[row.key] = row.value
		socket := (&fakeLXD{answers: answers}).start(t)
		m := &fakeMeshd{state: api.NetworkUp, attachments: []api.Attachment{attached("web", mac1, "10.77.0.2 fd00::2")}}
		r := newRunner(m, slog.New(slog.DiscardHandler))
		s, err := connect(t.Context(), socket)
		var nics []nic
		if err == nil {
			nics, err = s.nics()
		}
		if err == nil {
			r.look(t.Context(), nics)
		}
		if row.says == "" {
			if err != nil || strings.Join(m.calls, ",") != "-web" {
				t.Errorf("%s: error = %v, calls %v; want that web is released", row.name, err, m.calls)
			}
		} else if err == nil || !strings.Contains(err.Error(), row.says) || len(m.calls) > 0 {
			t.Errorf("%s: error = %v, calls %v; want an error that says %q", row.name, err, m.calls, row.says)
		}
	}
}

// "After an error what this call made is removed again": a cluster makes a network on all its members or on none.
func TestCreateInACluster(t *testing.T) {
	member := func(name, status string) lxdapi.ClusterMember {
		return lxdapi.ClusterMember{ServerName: name, Status: status}
	}
	rows := []struct {
		name    string
		answers map[string]any
		calls   string
		says    string
	}{
		{"all is well", map[string]any{"POST /1.0/networks one": nil, "POST /1.0/networks two": nil, "POST /1.0/networks": nil},
			"POST /1.0/networks one,POST /1.0/networks two,POST /1.0/networks", ""},
		{"a member is offline", map[string]any{"GET /1.0/cluster/members": []any{member("one", "Online"), member("two", "Offline")}}, "", "two is offline"},
		{"a member fails", map[string]any{"POST /1.0/networks one": nil, "POST /1.0/networks two": "no space", "DELETE /1.0/networks/prod": nil},
			"POST /1.0/networks one,POST /1.0/networks two,DELETE /1.0/networks/prod", "on cluster member two: no space"},
		{"the whole fails", map[string]any{"POST /1.0/networks one": nil, "POST /1.0/networks two": nil, "POST /1.0/networks": "no quorum", "DELETE /1.0/networks/prod": nil},
			"POST /1.0/networks one,POST /1.0/networks two,POST /1.0/networks,DELETE /1.0/networks/prod", "making LXD's network prod: no quorum"},
		{"and cannot be removed again", map[string]any{"POST /1.0/networks one": nil, "POST /1.0/networks two": "no space", "DELETE /1.0/networks/prod": "no quorum"},
			"POST /1.0/networks one,POST /1.0/networks two,DELETE /1.0/networks/prod", "what was made of it stays: lxc network delete prod"},
	}
	for _, row := range rows {
		f := &fakeLXD{answers: map[string]any{
			"GET /1.0": aServer(true), "GET /1.0/cluster/members": []any{member("one", "Online"), member("two", "Online")},
			"GET /1.0/networks/prod": lxdapi.Network{Name: "prod", Managed: true, Status: "Pending"},
		}}
		for k, v := range row.answers {
			f.answers[k] = v
		}
		lxd, err := connect(context.Background(), f.start(t))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s := &settler{lxd: lxd, out: &out}
		err = s.create(api.Network{Name: "prod", ID: "1234", MTU: 1400}, "prod")
		if row.says == "" {
			if err != nil || !strings.Contains(out.String(), "made on cluster members one, two (bridge.mtu=1400 ipv4.address=none") {
				t.Errorf("%s: error = %v, it says %q", row.name, err, out.String())
			}
		} else if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: error = %v, want %q", row.name, err, row.says)
		}
		if got := strings.Join(f.calls, ","); got != row.calls {
			t.Errorf("%s: calls %q, want %q", row.name, got, row.calls)
		}
	}
}
