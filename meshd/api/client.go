package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"meshnet/meshd/token"
)

// maxAnswer is the size of the largest answer that a Client reads, in bytes.
const maxAnswer = 64 << 20

// Client calls the meshd behind one socket. It is safe for concurrent use. The deadline of a call is its context's.
//
// The error of a call that meshd refused wraps an *Error (see CodeOf); if no meshd answers, it wraps ErrUnreachable and
// says what to do.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of the meshd that listens on socket; "" means DefaultSocket. It does not connect yet.
func NewClient(socket string) *Client {
	if socket == "" {
		socket = DefaultSocket
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close closes connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status returns the state of the daemon and its networks.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Networks returns all networks of this host.
func (c *Client) Networks(ctx context.Context) ([]Network, error) {
	l, err := get[NetworkList](ctx, c, http.MethodGet, "/v1/networks", nil)
	return l.Networks, err
}

// Network returns one network.
func (c *Client) Network(ctx context.Context, name string) (Network, error) {
	if err := token.CheckName(name); err != nil {
		return Network{}, Errorf(Invalid, "%w", err)
	}
	return get[Network](ctx, c, http.MethodGet, networkPath(name), nil)
}

// Ready says whether containers can be attached to a network.
func (c *Client) Ready(ctx context.Context, name string) (Readiness, error) {
	if err := token.CheckName(name); err != nil {
		return Readiness{}, Errorf(Invalid, "%w", err)
	}
	return get[Readiness](ctx, c, http.MethodGet, networkPath(name)+"/ready", nil)
}

// Create makes a network.
func (c *Client) Create(ctx context.Context, r CreateRequest) (Created, error) {
	return get[Created](ctx, c, http.MethodPost, "/v1/networks", r)
}

// Join makes this host a member of a network.
func (c *Client) Join(ctx context.Context, r JoinRequest) (Network, error) {
	return get[Network](ctx, c, http.MethodPost, "/v1/networks/join", r)
}

// Update changes what this host is in a network. Changing nothing is no error.
func (c *Client) Update(ctx context.Context, r UpdateRequest) (Network, error) {
	if err := r.check(); err != nil {
		return Network{}, Errorf(Invalid, "%w", err)
	}
	return get[Network](ctx, c, http.MethodPatch, networkPath(r.Network), r)
}

// Leave makes this host leave a network; with force, even if the other hosts cannot go on without it.
func (c *Client) Leave(ctx context.Context, name string, force bool) error {
	if err := token.CheckName(name); err != nil {
		return Errorf(Invalid, "%w", err)
	}
	path := networkPath(name)
	if force {
		path += "?force=true"
	}
	_, err := get[Left](ctx, c, http.MethodDelete, path, nil)
	return err
}

// Token returns a token of a network that carries the given endpoints, or those that meshd knows if there are none.
func (c *Client) Token(ctx context.Context, name string, endpoints ...string) (string, error) {
	if err := token.CheckName(name); err != nil {
		return "", Errorf(Invalid, "%w", err)
	}
	path := networkPath(name) + "/token"
	if len(endpoints) > 0 {
		path += "?" + url.Values{"endpoint": endpoints}.Encode()
	}
	t, err := get[TokenText](ctx, c, http.MethodGet, path, nil)
	return t.Token, err
}

// Peers returns the other members of a network, or of all networks if name is "".
func (c *Client) Peers(ctx context.Context, name string) ([]Peer, error) {
	l, err := get[PeerList](ctx, c, http.MethodGet, networkPath(name)+"/peers", nil)
	return l.Peers, err
}

// Leases returns the container interfaces of all hosts in a network, or in all networks if name is "".
func (c *Client) Leases(ctx context.Context, name string) ([]Lease, error) {
	l, err := get[LeaseList](ctx, c, http.MethodGet, networkPath(name)+"/leases", nil)
	return l.Leases, err
}

// DNS returns the names in a network, or in all networks if name is "".
func (c *Client) DNS(ctx context.Context, name string) ([]Zone, error) {
	l, err := get[ZoneList](ctx, c, http.MethodGet, networkPath(name)+"/dns", nil)
	return l.Zones, err
}

// Attachments returns the container interfaces of this host in a network, or in all networks if name is "".
func (c *Client) Attachments(ctx context.Context, name string) ([]Attachment, error) {
	l, err := get[AttachmentList](ctx, c, http.MethodGet, networkPath(name)+"/attachments", nil)
	return l.Attachments, err
}

// Attach returns a container interface's place on the overlay. The caller makes the interface.
func (c *Client) Attach(ctx context.Context, r AttachRequest) (Attachment, error) {
	if err := checkAttachment(r.Network, r.Container, r.IfName); err != nil {
		return Attachment{}, Errorf(Invalid, "%w", err)
	}
	return get[Attachment](ctx, c, http.MethodPut, attachmentPath(r.Network, r.Container, r.IfName), r.AttachOptions)
}

// Detach releases it, and says whether there was anything to release. The caller removes the interface.
func (c *Client) Detach(ctx context.Context, r DetachRequest) (bool, error) {
	if err := r.check(); err != nil {
		return false, Errorf(Invalid, "%w", err)
	}
	path := attachmentPath(r.Network, r.Container, r.IfName)
	query := make(url.Values)
	if r.Source != "" {
		query.Set("source", string(r.Source))
	}
	if r.CNINetwork != "" {
		query.Set("cni_network", r.CNINetwork)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	d, err := get[Detached](ctx, c, http.MethodDelete, path, nil)
	return d.Detached, err
}

func networkPath(name string) string {
	if name == "" {
		return "/v1"
	}
	return "/v1/networks/" + url.PathEscape(name)
}

func attachmentPath(network, container, ifname string) string {
	return networkPath(network) + "/attachments/" + url.PathEscape(container) + "/" + url.PathEscape(ifname)
}

// get makes one call, with body as JSON unless it is nil, and returns the answer.
func get[T any](ctx context.Context, c *Client, method, path string, body any) (answer T, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://meshd"+path, r)
	if err != nil {
		return answer, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer, c.unreachable(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer, fmt.Errorf("reading meshd's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return answer, answerError(resp.StatusCode, text)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("what answers on %s is not meshd: %w", c.socket, err)
	}
	return answer, nil
}

// answerError returns the *Error that a body carries, or one made of the status if it carries none.
func answerError(status int, text []byte) error {
	var b errorBody
	if err := json.Unmarshal(text, &b); err != nil || b.Error == nil || b.Error.Code == "" {
		return Errorf(codeOf(status), "meshd answered %d %s", status, http.StatusText(status))
	}
	return b.Error
}

// unreachable explains why a call could not be made.
func (c *Client) unreachable(err error) error {
	var uerr *url.Error
	if errors.As(err, &uerr) { // its text would add a URL that is nowhere
		err = uerr.Err
	}
	var operr *net.OpError
	if !errors.As(err, &operr) || operr.Op != "dial" {
		return fmt.Errorf("calling meshd on %s: %w", c.socket, err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket %s; is meshd running? (systemctl status meshd)", ErrUnreachable, c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s; meshd has ended (systemctl status meshd)", ErrUnreachable, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s: permission denied; be root or a member of group %s", ErrUnreachable, c.socket, DefaultGroup)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
