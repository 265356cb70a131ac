package view

import (
	"encoding/binary"
	"fmt"
	"strings"

	"gannet/internal/chain"
	"gannet/protocol"
)

const nameLimit = 64

// checkName says whether the cluster's name can stand in keys: braces would move a hash
// tag.
func checkName(name string) error {
	wrong := strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
	if name == "" || len(name) > nameLimit || wrong != "" || strings.ContainsAny(name, "{}:") {
		return fmt.Errorf("view: %q cannot be the name of a cluster: it has letters, digits, dots, dashes and underscores, and at most %d of them", name, nameLimit)
	}
	return nil
}

// stateKey is the key of the state of a queue's view. The scripts make all other keys of
// the queue from it.
func stateKey(name string, q chain.Queue) string {
	return fmt.Sprintf("{%s.%v.%d}v", name, q.Class, q.Number)
}

func maskKey(name string, user uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(name+":m"), user))
}

// maskHead is how many bytes of a mask stand before its bits.
const maskHead = 8

// maskBit is the place of a queue in a mask. Classes alternate, so that a cluster of few
// queues has short masks.
func maskBit(q chain.Queue) int64 {
	return maskHead*8 + int64(q.Number)*2 + int64(q.Class-chain.Chat)
}

func hasBit(mask string, bit int64) bool {
	at := int(bit / 8)
	return at < len(mask) && mask[at]&(0x80>>(bit%8)) != 0
}

// users gives who has the conversation from its first message on.
func users(c protocol.Conversation) []uint64 {
	switch {
	case c.Kind == protocol.KindDirect && c.A != c.B:
		return []uint64{c.A, c.B}
	case c.Kind == protocol.KindDirect, c.Kind == protocol.KindSystem:
		return []uint64{c.A}
	}
	return nil
}
