package api

import (
	"context"
	"net"
	"os"
	"syscall"
)

// Credentials say who is at the other end of the socket, as the kernel saw it when that process connected
// (SO_PEERCRED, unix(7)). In a container with a user namespace of its own, root has another UID here.
type Credentials struct {
	UID, GID uint32
	PID      int32
}

// Administrator says whether the caller may do everything: root, and the user that this process runs as, who could
// do it without asking.
func (c Credentials) Administrator() bool {
	return c.UID == 0 || c.UID == uint32(os.Geteuid())
}

type credentialsKey struct{}

// WithCredentials returns a context that says who called.
func WithCredentials(ctx context.Context, c Credentials) context.Context {
	return context.WithValue(ctx, credentialsKey{}, c)
}

// CredentialsFrom returns who called, if that is known.
func CredentialsFrom(ctx context.Context) (Credentials, bool) {
	c, ok := ctx.Value(credentialsKey{}).(Credentials)
	return c, ok
}

// withPeer is http.Server's ConnContext: it puts the credentials of c's other end into ctx. If the kernel does not
// tell, the caller is nobody.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *syscall.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if cerr != nil || err != nil {
		return ctx
	}
	return WithCredentials(ctx, Credentials{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid})
}
