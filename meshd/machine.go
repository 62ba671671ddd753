package main

import (
	"os"
	"strings"

	"golang.org/x/sys/cpu"
)

// bootID names this start of the kernel (random(4)); empty if it cannot be told.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// hasAES reports whether this CPU does AES-GCM in instructions of its own; else ChaCha20-Poly1305 is faster.
func hasAES() bool {
	return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || cpu.S390X.HasAESGCM
}
