"""A bot that stores nothing and misses nothing: GANNET_TOKEN=... python3 bot.py HOST PORT DEVICE"""
import os, random, select, socket, struct, sys, time
HELLO, PING, PUSHACK, SYNC, HISTORY, PUSH, HINT, ERROR = 0x01, 0x02, 0x11, 0x13, 0x14, 0xC0, 0xC1, 0xFE
class Bot:  # one connection; have: up to which seq each conversation, by its 9 bytes, is handled
    def run(self, address, token, device):
        self.socket, self.input, self.heartbeat = socket.create_connection(address), b"", 30
        self.have, self.behind = {}, True
        hello = struct.pack(f">HI{len(token)}sQBIHI", 1, len(token), token, device, 4, 0, 0, 0)
        self.user, self.heartbeat = struct.unpack_from(">8s8xH", self.ask(HELLO, hello), 2)
        while True: self.catch_up() if self.behind else self.live(*self.read())
    def catch_up(self):  # SYNC names what this device has not acked, HISTORY has it
        self.behind, more, after = False, True, bytes(9)
        while more:
            page = self.ask(SYNC, struct.pack(">Q9sHB", 0, after, 0, 1))
            more, after = page[8], page[9:18]
            for item in items(page, 20):
                target, head, acked = struct.unpack_from(">9sQ40xQ", item)
                while self.have.setdefault(target, acked) < head:
                    page = self.ask(HISTORY, struct.pack(">9sBQH", target, 0, self.have[target] + 1, 0))
                    for message in items(page, 35): self.take(target, message)
                    self.have[target] = max(self.have[target], struct.unpack_from(">Q", page, 17)[0])
    def take(self, target, message):
        seq, sender, size = struct.unpack_from(">Q8xQ17xI", message, 9)
        if seq > self.have[target]:  # here the bot does what it is for
            print(sender, seq, message[54:54 + size].decode(errors="replace"), flush=True)
        self.have[target] = max(self.have[target], seq)
        self.send(PUSHACK, struct.pack(">9sQ", target, self.have[target]))
    def live(self, type, payload):  # what is not next in its conversation comes by catch_up
        if type == PUSH:
            target, seq, sender = struct.unpack_from(">9sQ8x8s", payload)
            if payload[0] == 1 and sender != self.user: target = payload[:1] + sender
            if seq <= self.have.get(target, -1) + 1: return self.take(target, payload)
        self.behind = self.behind or type in (PUSH, HINT)
    def ask(self, type, payload):
        self.send(type, payload)
        while (frame := self.read())[0] != type | 0x80: self.live(*frame)
        return frame[1]
    def send(self, type, payload=b""):
        self.socket.sendall(struct.pack(">IBBI", len(payload) + 6, type, 0, type != PUSHACK) + payload)
        self.sent = time.monotonic()
    def read(self, silent=False):
        while len(self.input) < (end := 4 + int.from_bytes(self.input[:4], "big")):
            if time.monotonic() - self.sent > self.heartbeat / 3: self.send(PING)
            came = select.select([self.socket], [], [], self.heartbeat / 3)[0]
            data = self.socket.recv(1 << 16) if came else b""
            if not data and (came or silent): raise ConnectionError("the server is gone")
            silent, self.input = not came, self.input + data
        frame, self.input = self.input[:end], self.input[end:]
        if frame[4] < ERROR: return frame[4], frame[10:]
        code, wait = struct.unpack_from(">HI", frame, 10)
        time.sleep(wait / 1000)
        raise (ConnectionError if code < 3000 else SystemExit)(f"code {code}")
def items(page, at):  # each has its length before it, and all of them their number
    for _ in range(struct.unpack_from(">H", page, at - 2)[0]):
        at, start = at + 4 + struct.unpack_from(">I", page, at)[0], at + 4
        yield page[start:at]
while True:
    try: Bot().run((sys.argv[1], int(sys.argv[2])), os.environ["GANNET_TOKEN"].encode(), int(sys.argv[3]))
    except (OSError, struct.error) as lost: print("reconnecting:", lost, file=sys.stderr)
    time.sleep(random.uniform(0, 2))
