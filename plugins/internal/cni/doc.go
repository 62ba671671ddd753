// Package cni is what the CNI plugins of meshnet have in common: how they speak to a runtime
// (https://github.com/containernetworking/cni/blob/main/SPEC.md, version 1.1.0), which errors have which code, how an address
// is asked for, and which attachments a runtime says are alive. What a plugin does is the plugin's.
package cni
