package protocol

import "encoding/binary"

// Platform is the kind of device that a connection belongs to.
type Platform uint8

// The platforms.
const (
	PlatformOther   Platform = 0
	PlatformMobile  Platform = 1
	PlatformDesktop Platform = 2
	PlatformWeb     Platform = 3
	PlatformBot     Platform = 4
)

// Hello is the payload of HELLO, the first frame of a connection.
type Hello struct {
	Version      uint16
	Token        []byte
	Device       uint64 // chosen by the client, not 0
	Platform     Platform
	Capabilities uint32 // none is defined: 0
	Heartbeat    uint16 // seconds; 0 leaves it to the server
	Name         []byte // of the client software, for logs
}

// AppendFrame encodes the whole frame at the end of dst.
func (m Hello) AppendFrame(dst []byte, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, TypeHello, request)
	dst = binary.BigEndian.AppendUint16(dst, m.Version)
	dst = appendBytes(dst, m.Token)
	dst = binary.BigEndian.AppendUint64(dst, m.Device)
	dst = append(dst, byte(m.Platform))
	dst = binary.BigEndian.AppendUint32(dst, m.Capabilities)
	dst = binary.BigEndian.AppendUint16(dst, m.Heartbeat)
	dst = appendBytes(dst, m.Name)
	return end(dst, start)
}

// Decode reads the payload; slices point into p.
func (m *Hello) Decode(p []byte) error {
	r := reader{b: p}
	m.Version = r.u16()
	m.Token = r.bytes()
	m.Device = r.u64()
	m.Platform = Platform(r.u8())
	m.Capabilities = r.u32()
	m.Heartbeat = r.u16()
	m.Name = r.bytes()
	return r.err()
}

// Welcome is the payload of WELCOME: the login succeeded, and these are the
// limits.
type Welcome struct {
	Version      uint16
	User         uint64
	Time         uint64 // of the server, Unix milliseconds
	Heartbeat    uint16 // seconds: silence of twice this ends the connection
	MaxFrame     uint32
	MaxBody      uint32
	MaxUnacked   uint32
	Capabilities uint32
	Server       []byte // identity of the server's store, 16 bytes: what a client keeps is of this server alone
}

// AppendFrame encodes the whole frame at the end of dst.
func (m Welcome) AppendFrame(dst []byte, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, TypeWelcome, request)
	dst = binary.BigEndian.AppendUint16(dst, m.Version)
	dst = binary.BigEndian.AppendUint64(dst, m.User)
	dst = binary.BigEndian.AppendUint64(dst, m.Time)
	dst = binary.BigEndian.AppendUint16(dst, m.Heartbeat)
	dst = binary.BigEndian.AppendUint32(dst, m.MaxFrame)
	dst = binary.BigEndian.AppendUint32(dst, m.MaxBody)
	dst = binary.BigEndian.AppendUint32(dst, m.MaxUnacked)
	dst = binary.BigEndian.AppendUint32(dst, m.Capabilities)
	dst = appendBytes(dst, m.Server)
	return end(dst, start)
}

// Decode reads the payload.
func (m *Welcome) Decode(p []byte) error {
	r := reader{b: p}
	m.Version = r.u16()
	m.User = r.u64()
	m.Time = r.u64()
	m.Heartbeat = r.u16()
	m.MaxFrame = r.u32()
	m.MaxBody = r.u32()
	m.MaxUnacked = r.u32()
	m.Capabilities = r.u32()
	m.Server = r.bytes()
	return r.err()
}

// Failure is the payload of ERROR, where it answers a request, and of CLOSE,
// where it ends the connection.
type Failure struct {
	Code       Code
	RetryAfter uint32 // milliseconds to wait before trying again; 0 leaves it to the client
	Text       []byte // for a person
}

// AppendError encodes an ERROR frame at the end of dst.
func (m Failure) AppendError(dst []byte, request uint32) []byte {
	return m.append(dst, TypeError, request)
}

// AppendClose encodes a CLOSE frame at the end of dst.
func (m Failure) AppendClose(dst []byte) []byte {
	return m.append(dst, TypeClose, 0)
}

func (m Failure) append(dst []byte, t Type, request uint32) []byte {
	start := len(dst)
	dst = begin(dst, t, request)
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Code))
	dst = binary.BigEndian.AppendUint32(dst, m.RetryAfter)
	dst = appendBytes(dst, m.Text)
	return end(dst, start)
}

// Decode reads the payload; Text points into p.
func (m *Failure) Decode(p []byte) error {
	r := reader{b: p}
	m.Code = Code(r.u16())
	m.RetryAfter = r.u32()
	m.Text = r.bytes()
	return r.err()
}

// AppendEmpty encodes a frame without payload (PING, PONG, DONE) at the end of
// dst.
func AppendEmpty(dst []byte, t Type, request uint32) []byte {
	return end(begin(dst, t, request), len(dst))
}
