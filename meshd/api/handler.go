package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
)

// handler answers requests with what its backend does.
type handler struct {
	backend Backend
	log     *slog.Logger
	mux     *http.ServeMux
}

// call is one request's work: it returns what to answer, which is marshalled as JSON.
type call func(r *http.Request) (any, error)

// route is what can be done at one path, by HTTP method.
type route map[string]call

// NewHandler returns the HTTP side of backend. The callers' credentials are those that Server puts into the requests'
// contexts (WithCredentials).
func NewHandler(backend Backend, log *slog.Logger) http.Handler { return newHandler(backend, log) }

func newHandler(backend Backend, log *slog.Logger) *handler {
	h := &handler{backend: backend, log: log, mux: http.NewServeMux()}
	routes := map[string]route{
		"/v1/status":                 {http.MethodGet: h.status},
		"/v1/networks":               {http.MethodGet: h.networks, http.MethodPost: h.root(h.create)},
		"/v1/networks/join":          {http.MethodPost: h.root(h.join)},
		"/v1/networks/{name}":        {http.MethodGet: h.network, http.MethodPatch: h.root(h.update), http.MethodDelete: h.root(h.leave)},
		"/v1/networks/{name}/ready":  {http.MethodGet: h.ready},
		"/v1/networks/{name}/token":  {http.MethodGet: h.root(h.token)},
		"/v1/networks/{name}/peers":  {http.MethodGet: h.peers},
		"/v1/networks/{name}/leases": {http.MethodGet: h.leases},
		"/v1/networks/{name}/dns":    {http.MethodGet: h.dns},
		"/v1/dns":                    {http.MethodGet: h.dns},
		"/v1/peers":                  {http.MethodGet: h.peers},
		"/v1/leases":                 {http.MethodGet: h.leases},
		"/v1/attachments":            {http.MethodGet: h.attachments},

		"/v1/networks/{name}/attachments":                      {http.MethodGet: h.attachments},
		"/v1/networks/{name}/attachments/{container}/{ifname}": {http.MethodPut: h.attach, http.MethodDelete: h.detach},
		"/v1/attachments/{container}/{ifname}":                 {http.MethodPut: h.attach, http.MethodDelete: h.detach},
	}
	maps.Copy(routes, h.ipamRoutes())
	for pattern, rt := range routes {
		h.mux.Handle(pattern, h.methods(rt))
	}
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.answer(w, r, nil, Errorf(NotFound, "there is nothing at %.200q in this version of meshd", r.URL.Path))
	})
	return h
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would redirect these, with a body that is not JSON.
	if p := r.URL.Path; !strings.HasPrefix(p, "/") || p != "/" && path.Clean(p) != p {
		h.answer(w, r, nil, Errorf(NotFound, "%.200q is not a clean path", p))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// methods returns the handler of one path.
func (h *handler) methods(rt route) http.Handler {
	if get, ok := rt[http.MethodGet]; ok {
		rt[http.MethodHead] = get
	}
	allow := strings.Join(slices.Sorted(maps.Keys(rt)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := rt[r.Method]
		if !ok {
			w.Header().Set("Allow", allow)
			h.answer(w, r, nil, Errorf(MethodNotAllowed, "%.20q is not possible here, only %s", r.Method, allow))
			return
		}
		if err := readBody(w, r); err != nil {
			h.answer(w, r, nil, err)
			return
		}
		v, err := c(r)
		h.answer(w, r, v, err)
	})
}

// root lets only the administrator do c.
func (h *handler) root(c call) call {
	return func(r *http.Request) (any, error) {
		if err := administrator(r); err != nil {
			return nil, err
		}
		return c(r)
	}
}

// administrator refuses callers who are none.
func administrator(r *http.Request) error {
	if cred, ok := CredentialsFrom(r.Context()); !ok || !cred.Administrator() {
		return Errorf(Forbidden, "only root may do this")
	}
	return nil
}

func (h *handler) status(r *http.Request) (any, error) {
	s, err := h.backend.Status(r.Context())
	return s.filled(), err
}

func (h *handler) networks(r *http.Request) (any, error) {
	l, err := h.backend.Networks(r.Context())
	return NetworkList{Networks: filledAll(l)}, err
}

func (h *handler) create(r *http.Request) (any, error) {
	var req CreateRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	c, err := h.backend.Create(r.Context(), req)
	c.Network = c.Network.filled()
	return c, err
}

func (h *handler) join(r *http.Request) (any, error) {
	var req JoinRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	n, err := h.backend.Join(r.Context(), req)
	return n.filled(), err
}

func (h *handler) network(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	n, err := h.backend.Network(r.Context(), name)
	return n.filled(), err
}

func (h *handler) update(r *http.Request) (any, error) {
	var req UpdateRequest
	if err := decodeBody(r, &req); err != nil {
		return nil, err
	}
	req.Network = r.PathValue("name")
	if err := req.check(); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	n, err := h.backend.Update(r.Context(), req)
	return n.filled(), err
}

func (h *handler) ready(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	return h.backend.Ready(r.Context(), name)
}

func (h *handler) leave(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	force, err := forceOf(r)
	if err != nil {
		return nil, err
	}
	return Left{Left: true}, h.backend.Leave(r.Context(), name, force)
}

func (h *handler) token(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	endpoints, err := endpointsOf(r)
	if err != nil {
		return nil, err
	}
	t, err := h.backend.Token(r.Context(), name, endpoints)
	return TokenText{Token: t}, err
}

func (h *handler) peers(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	l, err := h.backend.Peers(r.Context(), name)
	return PeerList{Peers: filledAll(l)}, err
}

func (h *handler) leases(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	l, err := h.backend.Leases(r.Context(), name)
	return LeaseList{Leases: filledAll(l)}, err
}

func (h *handler) dns(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	l, err := h.backend.DNS(r.Context(), name)
	return ZoneList{Zones: filledAll(l)}, err
}

func (h *handler) attachments(r *http.Request) (any, error) {
	name, err := networkOf(r)
	if err != nil {
		return nil, err
	}
	l, err := h.backend.Attachments(r.Context(), name)
	return AttachmentList{Attachments: filledAll(l)}, err
}

func (h *handler) attach(r *http.Request) (any, error) {
	req := AttachRequest{Network: r.PathValue("name"), Container: r.PathValue("container"), IfName: r.PathValue("ifname")}
	if err := decodeBody(r, &req.AttachOptions); err != nil {
		return nil, err
	}
	if req.Source == "" {
		req.Source = SourceManual
	}
	if err := req.check(); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	if req.Network == "" {
		name, err := h.only(r.Context())
		if err != nil {
			return nil, err
		}
		req.Network = name
	}
	a, err := h.backend.Attach(r.Context(), req)
	return a.filled(), err
}

// only returns the name of the only network.
func (h *handler) only(ctx context.Context) (string, error) {
	networks, err := h.backend.Networks(ctx)
	if err != nil {
		return "", err
	}
	names := make([]string, len(networks))
	for i, n := range networks {
		names[i] = n.Name
	}
	switch len(names) {
	case 0:
		return "", Errorf(NotFound, "this host is in no network; create or join one first")
	case 1:
		return names[0], nil
	}
	return "", Errorf(Invalid, "this host is in several networks (%s); say which", strings.Join(names, ", "))
}

func (h *handler) detach(r *http.Request) (any, error) {
	req := DetachRequest{Network: r.PathValue("name"), Container: r.PathValue("container"), IfName: r.PathValue("ifname")}
	if err := req.whose(r); err != nil {
		return nil, err
	}
	if err := req.check(); err != nil {
		return nil, Errorf(Invalid, "%w", err)
	}
	if req.Network != "" {
		done, err := h.backend.Detach(r.Context(), req)
		return Detached{Detached: done}, err
	}
	networks, err := h.backend.Networks(r.Context())
	if err != nil {
		return nil, err
	}
	var d Detached
	for _, n := range networks {
		req.Network = n.Name
		done, err := h.backend.Detach(r.Context(), req)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		d.Detached = d.Detached || done
	}
	return d, nil
}

// answer writes v, or err if there is one.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, v any, err error) {
	if err == nil {
		h.note(r, nil)
		writeJSON(w, http.StatusOK, v)
		return
	}
	h.note(r, err)
	code := CodeOf(err)
	if code == TooLarge { // do not read the rest
		w.Header().Set("Connection", "close")
	}
	writeJSON(w, code.Status(), errorBody{Error: &Error{Code: code, Message: err.Error()}})
}

// note logs calls that change something, and meshd's own faults. A body is never logged: it may hold a key.
func (h *handler) note(r *http.Request, err error) {
	level := slog.LevelInfo
	switch {
	case err != nil && CodeOf(err) == Internal:
		level = slog.LevelError
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", r.URL.Path)}
	if c, ok := CredentialsFrom(r.Context()); ok {
		attrs = append(attrs, slog.Int("uid", int(c.UID)), slog.Int("pid", int(c.PID)))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		attrs = append(attrs, slog.Any("err", err))
	}
	h.log.LogAttrs(r.Context(), level, "api call", attrs...)
}
