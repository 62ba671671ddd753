package main

import (
	"net/http"
	"net/http/pprof"

	"meshnet/meshd/api"
)

// serveProfiles lets administrators see where the time and the memory go: go tool pprof over the API's socket.
func serveProfiles(server *api.Server) {
	server.Handle("/debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	server.Handle("/debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		server.Handle("/debug/pprof/"+name, pprof.Handler(name))
	}
}
