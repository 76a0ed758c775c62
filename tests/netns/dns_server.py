#!/usr/bin/env python3
"""A DNS server that does what a file says, read anew at each query: "NAME WHAT...", where WHAT is
addresses, or one of none (NXDOMAIN), silent, garbage, many (a thousand addresses, over TCP, in
any order),
servfail; silent4 and silent6 beside them: queries for A, for AAAA, are dropped. Other names do not
exist. usage: dns_server.py FILE ADDRESS
"""
import ipaddress
import os
import random
import socket
import struct
import sys
import threading

A, AAAA = 1, 28


def zone():
    rows = {}
    with open(sys.argv[1], encoding="utf-8") as file:
        for line in file:
            words = line.split()
            if words:
                rows[words[0]] = words[1:]
    return rows


def question(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels).lower(), struct.unpack_from("!H", query, at + 1)[0], at + 5


def answer(query, tcp):
    name, kind, end = question(query)
    what = zone().get(name, ["none"])
    with open(sys.argv[1] + ".asked", "a", encoding="utf-8") as file:
        file.write(f"{name} {kind} {'tcp' if tcp else 'udp'}\n")
    if what[0] == "silent" or ("silent4" if kind == A else "silent6") in what:
        return None
    what = [word for word in what if word not in ("silent4", "silent6")]
    if what[0] == "garbage":
        return query[:2] + b"\x81\x80" + b"\xc0\x0c" * 200 + os.urandom(64)
    rcode = {"none": 3, "servfail": 2}.get(what[0], 0)
    if what[0] == "many":
        what = [str(ipaddress.ip_address("198.51.100.0") + i) for i in range(1000)]
        random.shuffle(what)
    addrs = [] if rcode else [ipaddress.ip_address(a) for a in what]
    addrs = [a for a in addrs if a.version == (4 if kind == A else 6) and kind in (A, AAAA)]
    truncated = not tcp and len(addrs) > 20
    body = b"" if truncated else b"".join(
        struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(a.packed)) + a.packed for a in addrs)
    flags = 0x8180 | rcode | (0x200 if truncated else 0)
    return query[:2] + struct.pack("!HHHHH", flags, 1, 0 if truncated else len(addrs), 0, 0) \
        + query[12:end] + body


def serve_tcp(listener):
    while True:
        client, _ = listener.accept()
        with client:
            client.settimeout(2)
            try:
                length = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))[0]
                reply = answer(client.recv(length, socket.MSG_WAITALL), True)
                client.sendall(struct.pack("!H", len(reply)) + reply)
            except (OSError, struct.error, TypeError):
                pass


def main():
    listener = socket.create_server((sys.argv[2], 53))
    threading.Thread(target=serve_tcp, args=(listener,), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((sys.argv[2], 53))
    print("ready", flush=True)
    while True:
        query, client = udp.recvfrom(4096)
        reply = answer(query, False)
        if reply:
            udp.sendto(reply, client)


main()
