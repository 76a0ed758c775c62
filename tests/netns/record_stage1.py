#!/usr/bin/env python3
"""record_stage1.py INTERFACE FILE: waits for a stage 1 to UDP port 4242 and keeps the datagram.
record_stage1.py FILE ADDRESS FROM:  sends it again, from another address of ours."""
import socket
import sys

HEADERS = 20 + 8  # IPv4 without options, UDP


def record(interface, path):
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as sock:
        sock.bind((interface, 0))
        print("ready", flush=True)
        while True:
            packet = sock.recv(65535)
            body = packet[HEADERS:]
            if packet[9] == 17 and packet[22:24] == (4242).to_bytes(2, "big") and body[:2] == b"\x10\0" \
                    and body[4:8] == bytes(4) and body[8:16] == (1).to_bytes(8, "big"):
                with open(path, "wb") as out:
                    out.write(body)
                return


def replay(path, address, source):
    with open(path, "rb") as file, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.sendto(file.read(), (address, 4242))


if __name__ == "__main__":
    (record if len(sys.argv) == 3 else replay)(*sys.argv[1:])
