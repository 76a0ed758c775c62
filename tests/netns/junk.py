#!/usr/bin/env python3
"""junk.py ADDRESS PORT COUNT SEED: sends COUNT datagrams that no node should like."""
import random
import socket
import struct
import sys

address, port, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
rng = random.Random(seed)
print(f"seed {seed}")


def header(kind, subtype, index, counter):
    return struct.pack(">BBHIQ", 0x10 | kind, subtype, 0, index, counter)


def noise(longest):
    return rng.randbytes(rng.randint(0, longest))


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


KINDS = [
    lambda: b"",  # ends a multishot receive
    lambda: b"\x01",
    lambda: noise(15),
    lambda: noise(1400),
    lambda: noise(9000),
    lambda: header(1, 0, rng.getrandbits(32), rng.getrandbits(64)) + noise(1400),  # message
    lambda: header(1, 1, rng.getrandbits(32), 3) + noise(1400),  # relayed
    lambda: header(2, 0, rng.getrandbits(32), 0),  # recv_error
    lambda: header(3, 0, rng.getrandbits(32), 9) + noise(200),
    lambda: header(4, rng.randint(0, 1), rng.getrandbits(32), 9) + noise(200),
    lambda: header(5, 0, rng.getrandbits(32), 9) + noise(40),
    lambda: header(0, 0, 0, 1) + noise(1000),  # stage 1
    lambda: header(0, 0, 0, 1) + rng.randbytes(32) + b"\x0a" + varint(rng.randint(0, 1 << 35)) + noise(300),
    lambda: header(0, 0, rng.getrandbits(32), 2) + noise(1000),  # stage 2
    lambda: header(rng.randint(0, 15), rng.randint(0, 255), 0, 0) + noise(100),
    lambda: bytes([rng.randint(0, 255)]) + noise(60),
]

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.connect((address, port))
    for _ in range(count):
        try:
            sock.send(rng.choice(KINDS)())
        except ConnectionRefusedError:
            pass
