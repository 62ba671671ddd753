package main

import (
	"meshnet/meshd/api"
	"meshnet/meshd/config"
	"meshnet/meshd/tap"
	"meshnet/meshd/udp"
)

// tapOff says what a TAP is not to use.
func tapOff(without []string) tap.Off {
	var off tap.Off
	for _, name := range without {
		switch name {
		case config.TAPChecksum:
			off.Header = true
		case config.TAPTSO:
			off.TSO = true
		case config.TAPUSO:
			off.USO = true
		}
	}
	return off
}

// udpOff says what a UDP socket is not to use.
func udpOff(without []string) udp.Off {
	var off udp.Off
	for _, name := range without {
		switch name {
		case config.UDPGSO:
			off.GSO = true
		case config.UDPGRO:
			off.GRO = true
		case config.UDPLanes:
			off.Lanes = true
		}
	}
	return off
}

// offloads are those of the sockets, which all do the same on one kernel: what one cannot do counts.
func (d *daemon) offloads() []api.Offload {
	var all []api.Offload
	for i, conn := range d.conns {
		for j, o := range conn.Offloads() {
			if i == 0 {
				all = append(all, api.Offload(o))
			} else if !o.On {
				all[j] = api.Offload(o)
			}
		}
	}
	cipher := api.Offload{Name: "aes", On: hasAES()}
	if !cipher.On {
		cipher.Why = "the CPU has no AES instructions, ChaCha20-Poly1305 is used"
	}
	return append(all, cipher)
}

// tapOffloads are those of a TAP, none if it has not been open.
func tapOffloads(device *tap.Device) []api.Offload {
	if device == nil {
		return nil
	}
	var all []api.Offload
	for _, o := range device.Offloads() {
		all = append(all, api.Offload(o))
	}
	return all
}

// logOffloads says once what the kernel does not do for us.
func (d *daemon) logOffloads(offloads []api.Offload, args ...any) {
	for _, o := range offloads {
		if !o.On {
			d.log.Info("an offload is not in use", append(args, "offload", o.Name, "why", o.Why)...)
		}
	}
}
