"""A modem's driver: between a UDP port and a radio that speaks KISS on a serial line.

    stty -F /dev/ttyUSB0 9600
    python kiss_driver.py /dev/ttyUSB0 127.0.0.1:7100                  # beside the node
    python kiss_driver.py /dev/ttyUSB0 127.0.0.1:7001 127.0.0.1:7000   # beside the bridge

Arguments: the line, where to listen, and where to send what the radio hears; without the last one,
to whoever sent a datagram before, which is the node.
"""

import os
import select
import socket
import sys
import tty

FEND, FESC, DATA = b"\xc0", b"\xdb", b"\x00"


def wrap(datagram: bytes) -> bytes:
    """Make a KISS frame."""
    return FEND + DATA + datagram.replace(FESC, b"\xdb\xdd").replace(FEND, b"\xdb\xdc") + FEND


def unwrap(frame: bytes) -> bytes:
    """Take the datagram out of what stood between two ends of frames."""
    return frame[1:].replace(b"\xdb\xdc", FEND).replace(b"\xdb\xdd", FESC)


def place(text: str) -> tuple[str, int]:
    """Read HOST:PORT."""
    host, _, port = text.rpartition(":")
    return host, int(port)


def carry(line: int, port: socket.socket, peer: tuple[str, int] | None) -> None:
    """Pass datagrams both ways, for ever."""
    heard = b""
    while True:
        ready, _, _ = select.select([line, port.fileno()], [], [])
        if port.fileno() in ready:
            datagram, peer = port.recvfrom(65_535)
            frame = wrap(datagram) if datagram else b""  # KISS has no empty frames
            while frame:
                frame = frame[os.write(line, frame) :]
        if line in ready:
            *frames, heard = (heard + os.read(line, 4096)).split(FEND)
            heard = heard[-65_536:]  # a line that only makes noise
            for each in frames:
                if each[:1] == DATA and peer:
                    port.sendto(unwrap(each), peer)


if __name__ == "__main__":
    tty_line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    tty.setraw(tty_line)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp_port:
        udp_port.bind(place(sys.argv[2]))
        carry(tty_line, udp_port, place(sys.argv[3]) if len(sys.argv) > 3 else None)
