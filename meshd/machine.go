package main

import (
	"golang.org/x/sys/cpu"

	"meshnet/meshd/reconcile"
)

// bootID names this start of the kernel; empty if it cannot be told.
func bootID() string {
	id, err := reconcile.BootID()
	if err != nil {
		return ""
	}
	return id
}

// hasAES reports whether this CPU does AES-GCM in instructions of its own; else ChaCha20-Poly1305 is faster.
func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAESGCM
}
