package cni

import (
	"github.com/containernetworking/cni/pkg/types"

	"meshnet/plugins/attach"
)

// validAttachments is the part of a configuration that says which attachments are alive.
type validAttachments struct {
	Valid  *[]types.GCAttachment `json:"cni.dev/valid-attachments"`
	Legacy *[]types.GCAttachment `json:"cni.dev/attachments"` // what SPEC.md 1.1.0 called it in one place; libcni writes both
}

// Valid returns the attachments of which a configuration says that they are alive. said is false if the configuration has no list, or null instead of one: that is
// a runtime that does not know, and never means that nothing is alive. Of two lists both count. The error is a *types.Error.
func Valid(stdin []byte) (keys []attach.Key, said bool, err error) {
	var v validAttachments
	if err := Decode(stdin, &v); err != nil {
		return nil, false, err
	}
	for _, l := range []*[]types.GCAttachment{v.Valid, v.Legacy} {
		if l == nil {
			continue
		}
		said = true
		for _, a := range *l {
			if a.ContainerID == "" || a.IfName == "" {
				return nil, false, Invalidf("the list of valid attachments has an entry without containerID or ifname; nothing was removed")
			}
			keys = append(keys, attach.Key{Container: a.ContainerID, IfName: a.IfName})
		}
	}
	return keys, said, nil
}
