package servicestest

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RocketMQ gives the address of the name server of a RocketMQ cluster.
func RocketMQ(t testing.TB) string {
	t.Helper()
	return address(t, "GANNET_TEST_ROCKETMQ")
}

// Codes of RocketMQ's remoting protocol.
const (
	createTopic          = 17
	routeOfTopic         = 105
	clusterOfNameServer  = 106
	deleteTopicInBroker  = 215
	deleteTopicInServers = 216
)

// master finds a broker and the address of its master. The name server writes JSON whose keys may
// be numbers, which encoding/json does not read.
var master = regexp.MustCompile(`"brokerAddrs":\{"?0"?:"([^"]+)"[^}]*\},"brokerName":"([^"]+)"`)

// Broker gives the name and the address of the first broker that a name server knows.
func Broker(t testing.TB, nameServer string) (name, address string) {
	t.Helper()
	_, body := request(t, nameServer, clusterOfNameServer, nil)
	m := master.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("the name server at %s knows no broker: %s", nameServer, body)
	}
	return m[2], m[1]
}

// Topic makes a topic of so many queues on the first broker that a name server knows. It
// is deleted when the test ends.
func Topic(t testing.TB, nameServer string, queues int) string {
	t.Helper()
	topic := "gannet-test-" + strings.ToLower(rand.Text())
	_, broker := Broker(t, nameServer)
	n := strconv.Itoa(queues)
	expect(t, broker, createTopic, map[string]string{
		"topic": topic, "defaultTopic": "none", "readQueueNums": n, "writeQueueNums": n,
		"perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
	})
	t.Cleanup(func() {
		// A broker without a timer deletes the topic and then fails on the timers of the topic. It
		// has no timers, so this error is harmless.
		h, _ := request(t, broker, deleteTopicInBroker, map[string]string{"topic": topic})
		if h.Code != 0 && !strings.Contains(h.Remark, "TimerMessageStore") {
			t.Errorf("deleting the topic %s: %d %s", topic, h.Code, h.Remark)
		}
		expect(t, nameServer, deleteTopicInServers, map[string]string{"topic": topic})
	})
	route := expect(t, nameServer, routeOfTopic, map[string]string{"topic": topic})
	if !strings.Contains(route, `"writeQueueNums":`+n) {
		t.Fatalf("the topic %s has not %d queues: %s", topic, queues, route)
	}
	return topic
}

type header struct {
	Code   int    `json:"code"`
	Remark string `json:"remark"`
}

// expect makes a request that must succeed and gives the body of its answer.
func expect(t testing.TB, address string, code int, fields map[string]string) string {
	t.Helper()
	h, body := request(t, address, code, fields)
	if h.Code != 0 {
		t.Fatalf("request %d %v to %s: %d %s", code, fields, address, h.Code, h.Remark)
	}
	return body
}

// request makes one request on its own connection. A RocketMQ client would leave goroutines behind
// in every test.
func request(t testing.TB, address string, code int, fields map[string]string) (header, string) {
	t.Helper()
	h, body, err := exchange(address, code, fields)
	if err != nil {
		t.Fatalf("request %d %v to %s: %v", code, fields, address, err)
	}
	return h, body
}

// exchange sends a frame and reads one: the length of the rest, the length of the header
// with its encoding in the highest byte (0 is JSON), the header, the body.
func exchange(address string, code int, fields map[string]string) (h header, body string, err error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return h, "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return h, "", err
	}
	head, err := json.Marshal(map[string]any{
		"code": code, "language": "OTHER", "version": 0, "opaque": 1, "flag": 0, "extFields": fields,
	})
	if err != nil {
		return h, "", err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(head)))
	if _, err := conn.Write(append(frame, head...)); err != nil {
		return h, "", err
	}
	var lengths [8]byte
	r := bufio.NewReader(conn)
	if _, err := io.ReadFull(r, lengths[:]); err != nil {
		return h, "", err
	}
	rest := int(binary.BigEndian.Uint32(lengths[:4])) - 4
	headed := int(binary.BigEndian.Uint32(lengths[4:]) & 0xffffff)
	if rest > 16<<20 || headed > rest {
		return h, "", fmt.Errorf("an answer of %d bytes, %d of them its header", rest, headed)
	}
	answer := make([]byte, rest)
	if _, err := io.ReadFull(r, answer); err != nil {
		return h, "", err
	}
	err = json.Unmarshal(answer[:headed], &h)
	return h, string(answer[headed:]), err
}

// RocketMQJars gives the folder with the jars of RocketMQ, for tests that start and kill
// a broker of their own beside the name server.
func RocketMQJars(t testing.TB) string {
	t.Helper()
	return address(t, "GANNET_TEST_ROCKETMQ_JARS")
}
