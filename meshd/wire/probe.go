package wire

import "encoding/binary"

// ProbeLen is the length in bytes of what a Probe and its acknowledgement say (docs/protocol.md, "Path MTU").
const ProbeLen = 4 + 2

// Probe names a path MTU probe. It is the payload of the acknowledgement, and the beginning of that of the probe itself.
//
//	0..3   number
//	4..5   size
//	6..    padding, in the probe: it makes the datagram size bytes long
type Probe struct {
	Number uint32 // chosen by the sender, to know the probe by
	Size   int    // bytes of the datagram: the UDP payload, from MaxDatagram on
}

// Append appends the payload of the probe to dst: sealed, it is a datagram of p.Size bytes.
func (p Probe) Append(dst []byte) []byte {
	return append(p.AppendAck(dst), make([]byte, p.Size-Overhead-ProbeLen)...)
}

// AppendAck appends the ProbeLen bytes of the acknowledgement to dst.
func (p Probe) AppendAck(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, p.Number)
	return binary.BigEndian.AppendUint16(dst, uint16(p.Size))
}

// ParseProbe reads the payload of a Probe. The error is ErrShort, or ErrSize if the size that it names is not its own, or is
// shorter than a probe may be: its acknowledgement would not be far shorter.
func ParseProbe(payload []byte) (Probe, error) {
	p, err := ParseProbeAck(payload)
	if err != nil {
		return Probe{}, err
	}
	if p.Size != len(payload)+Overhead {
		return Probe{}, ErrSize
	}
	return p, nil
}

// ParseProbeAck reads the payload of a ProbeAck; longer input is accepted. The error is ErrShort, or ErrSize if there is no such
// probe.
func ParseProbeAck(payload []byte) (Probe, error) {
	if len(payload) < ProbeLen {
		return Probe{}, ErrShort
	}
	p := Probe{
		// Number (4).
		Number: binary.BigEndian.Uint32(payload),
		// Size (2).
		Size: int(binary.BigEndian.Uint16(payload[4:])),
	}
	if p.Size < MaxDatagram {
		return Probe{}, ErrSize
	}
	return p, nil
}
