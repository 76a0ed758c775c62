#!/usr/bin/env python3
"""connect.py tcp|udp ADDRESS PORT [GO]: what a program is told when it talks to ADDRESS:PORT.

Prints the name of the errno, "silence" after 3 s without an answer, or "answer". With GO it first
prints "connected", and talks only once the file GO exists.
"""
import errno
import os
import socket
import sys
import time

protocol, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
s.settimeout(3)
try:
    s.connect((address, port))
    if len(sys.argv) > 4:
        print("connected", flush=True)
        end = time.monotonic() + 30
        while not os.path.exists(sys.argv[4]) and time.monotonic() < end:
            time.sleep(0.05)
    s.send(b"hello")
    s.recv(100)
    print("answer")
except socket.timeout:
    print("silence")
except OSError as e:
    print(errno.errorcode.get(e.errno, e.errno))
