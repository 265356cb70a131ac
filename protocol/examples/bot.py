"""A bot that stores nothing and misses nothing: GANNET_TOKEN=... python3 bot.py HOST PORT DEVICE"""
import os, random, select, socket, struct, sys, time
HELLO, PING, PUSHACK, SYNC, HISTORY, PUSH, HINT, ERROR = 0x01, 0x02, 0x11, 0x13, 0x14, 0xC0, 0xC1, 0xFE
class Bot:  # one connection
    have, server, wait, behind = {}, None, 0, True  # have: up to where each conversation, by its 9 bytes, is handled
    def run(self, address, token, device):
        self.socket, self.input, self.heartbeat, Bot.wait = socket.create_connection(address), b"", 30, 0
        hello = struct.pack(f">HI{len(token)}sQBIHI", 1, len(token), token, device, 4, 0, 0, 0)
        self.user, self.heartbeat, server = struct.unpack_from(">8s8xH16x20s", self.ask(HELLO, hello), 2)
        if server != Bot.server: Bot.have, Bot.server = {}, server
        while True: self.catch_up() if self.behind else self.live(*self.read())
    def catch_up(self):  # SYNC names what this device has not acked, HISTORY has it
        self.behind, page = False, bytes(8) + b"\1" + bytes(9)  # as if a page came before: more, after nothing
        while page[8] and (page := self.ask(SYNC, struct.pack(">Q9sHB", 0, page[9:18], 0, 1))):
            for item in items(page, 20):
                target, head, acked = struct.unpack_from(">9sQ40xQ", item)
                self.ack(target, acked)
                while self.have[target] < head:
                    part = self.ask(HISTORY, struct.pack(">9sBQH", target, 0, self.have[target] + 1, 0))
                    for message in items(part, 35): self.take(target, message)
                    self.ack(target, struct.unpack_from(">Q", part, 17)[0])
    def take(self, target, message):  # here it acts; a bot that answers skips what its own device sent
        seq, sender, size = struct.unpack_from(">Q8xQ17xI", message, 9)
        if seq > self.have[target]: print(sender, seq, message[54:54 + size].decode(errors="replace"), flush=True)
    def ack(self, target, seq):
        self.have[target] = max(seq, self.have.get(target, 0))
        self.send(PUSHACK, struct.pack(">9sQ", target, self.have[target]))
    def live(self, type, payload):  # what is not next in its conversation comes by catch_up
        if type == PUSH:
            target, seq, sender = struct.unpack_from(">9sQ8x8s", payload)
            if payload[0] == 1 and sender != self.user: target = payload[:1] + sender
            if seq <= self.have.get(target, -1) + 1: self.take(target, payload); return self.ack(target, seq)
        self.behind = self.behind or type in (PUSH, HINT, ERROR)  # ERROR: a PUSHACK failed
    def ask(self, type, payload):
        self.send(type, payload)
        while (frame := self.read())[0] != type | 0x80:
            self.send(type, payload) if frame == (ERROR, 1) else self.live(*frame)
        return frame[1]
    def send(self, type, payload=b""):
        self.sent = time.monotonic()
        self.socket.sendall(struct.pack(">IBBI", len(payload) + 6, type, 0, type not in (PUSHACK, PING)) + payload)
    def read(self, silent=False):
        while len(self.input) < (end := 4 + int.from_bytes(self.input[:4], "big")):
            if time.monotonic() - self.sent > self.heartbeat / 3: self.send(PING)
            data = self.socket.recv(1 << 16) if select.select([self.socket], [], [], self.heartbeat / 3)[0] else None
            if data == b"" or data is None and silent: raise ConnectionError("the server is gone")
            silent, self.input = data is None, self.input + (data or b"")
        frame, self.input = self.input[:end], self.input[end:]
        if frame[4] < ERROR: return frame[4], frame[10:]
        code, Bot.wait = struct.unpack_from(">HI", frame, 10)
        if frame[4] == ERROR and code < 2000: time.sleep(max(Bot.wait, 50) / 1000); return ERROR, int.from_bytes(frame[6:10], "big")
        raise (SystemExit if 3000 <= code < 3100 else ConnectionError)(f"code {code}")
def items(page, at):  # each has its length before it, and all of them their number
    for _ in range(struct.unpack_from(">H", page, at - 2)[0]):
        at, start = at + 4 + struct.unpack_from(">I", page, at)[0], at + 4
        yield page[start:at]
while True:
    try: Bot().run((sys.argv[1], int(sys.argv[2])), os.environ["GANNET_TOKEN"].encode(), int(sys.argv[3]))
    except (OSError, struct.error) as lost: print("reconnecting:", lost, file=sys.stderr)
    time.sleep(max(Bot.wait / 1000, random.uniform(0, 2)))
