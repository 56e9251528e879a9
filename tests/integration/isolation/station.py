"""
One station of the network under test: a VM, the box, or a host outside. Sends, listens and says what it saw.
One JSON request per line comes in, one answer per line goes out; it ends with its standard input.
"""

import errno
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time

TOKEN = re.compile(rb"croft-\d{6}")
OUTGOING = 4  # linux/if_packet.h: PACKET_OUTGOING
SO_RCVBUFFORCE = 33
seen = {}  # where -> the tokens that came there
peers = {}  # token -> the address it came from
news = threading.Condition()


def note(place, data, peer=None):
    found = [token.decode() for token in TOKEN.findall(data)]
    if found:
        with news:
            seen.setdefault(place, set()).update(found)
            if peer:
                peers.update({token: peer for token in found})
            news.notify_all()


def raw_socket(interface):
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    raw.bind((interface, 0))
    return raw


def background(work):
    threading.Thread(target=work, daemon=True).start()


def sniff(place, interface, outgoing=False):
    """Notes the tokens in frames that come in by an interface, or go out."""
    raw = raw_socket(interface)

    def work():
        while True:
            data, address = raw.recvfrom(65535)
            if (address[2] == OUTGOING) == outgoing:
                note(place, data)

    background(work)


def serve(place, port):
    """Echoes TCP and UDP on all addresses, and notes the tokens with the address of who sent them."""
    tcp = socket.create_server(("", port), backlog=64)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    udp.bind(("", port))

    def one(connection, peer):
        with connection:
            while data := connection.recv(65535):
                note(place, data, peer)
                connection.sendall(data)

    def accept():
        while True:
            connection, peer = tcp.accept()
            background(lambda: one(connection, peer[0]))

    def echo():
        while True:
            data, peer = udp.recvfrom(65535)
            note(place, data, peer[0])
            try:
                udp.sendto(data, peer)
            except OSError:
                pass  # a peer that can't be answered

    background(accept)
    background(echo)


def wait(place, token, timeout):
    with news:
        return news.wait_for(lambda: token in seen.get(place, ()), timeout)


def arrived(token):
    with news:
        return {"places": [place for place in seen if token in seen[place]], "peer": peers.get(token)}


def send(interface, frames):
    raw = raw_socket(interface)
    for frame in frames:
        raw.send(bytes.fromhex(frame))


def say(address, port, text, source=0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("", source))
        udp.sendto(text.encode(), (address, port))


def ask(interface, frame, match, timeout):
    """Sends a frame; the first one that comes in with these bytes in it, or nothing."""
    raw = raw_socket(interface)
    raw.send(bytes.fromhex(frame))
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        if select.select([raw], [], [], left)[0]:
            data, address = raw.recvfrom(65535)
            if address[2] != OUTGOING and bytes.fromhex(match) in data:
                return data.hex()
    return None


def flood(interface, frame, count, vary):
    """Sends a frame many times with other random bytes at `vary`, a list of [offset, length]."""
    raw = raw_socket(interface)
    data = bytearray.fromhex(frame)
    began = time.monotonic()
    for _ in range(count):
        for offset, length in vary:
            data[offset : offset + length] = os.urandom(length)
        try:
            raw.send(data)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
    return time.monotonic() - began


def reach(kind, targets, timeout):
    """Which of these [address, port] answer at all, be it by refusing."""
    found = []
    for i in range(0, len(targets), 900):
        sockets = {}
        poll = select.poll()
        for address, port in targets[i : i + 900]:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
            s.setblocking(False)
            try:
                status = s.connect_ex((address, port))
                if kind == "udp":
                    s.send(b"hello")
            except OSError as error:
                status = error.errno
            if status not in (0, errno.EINPROGRESS):
                continue  # the sender itself has no way there
            sockets[s.fileno()] = (s, [address, port])
            poll.register(s, select.POLLIN | (select.POLLOUT if kind == "tcp" else 0))
        end = time.monotonic() + timeout
        while sockets and (left := end - time.monotonic()) > 0:
            for number, _ in poll.poll(left * 1000):
                poll.unregister(number)
                s, target = sockets.pop(number)
                error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error in (0, errno.ECONNREFUSED):
                    found.append(target)
                s.close()
        for s, _ in sockets.values():
            s.close()
    return found


def tcp_echo(address, port, count, timeout):
    """The longest time in seconds for one of `count` exchanges over one connection."""
    slowest = 0
    with socket.create_connection((address, port), timeout) as connection:
        for _ in range(count):
            began = time.monotonic()
            connection.sendall(b"ping")
            connection.recv(65535)
            slowest = max(slowest, time.monotonic() - began)
    return slowest


def run(argv, timeout=30):
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    return {"code": ended.returncode, "out": ended.stdout + ended.stderr}


known = {each.__name__: each for each in (sniff, serve, wait, arrived, send, say, ask, flood, reach, tcp_echo, run)}
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"result": known[request["do"]](*request["with"])}
    except Exception as error:
        answer = {"error": f"{request['do']}: {error!r}"}
    print(json.dumps(answer), flush=True)
