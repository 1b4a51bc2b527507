"""A network whose latency is chosen and whose bytes are counted: network namespaces, tied by a relay in this process.

`tc netem` would delay packets in the kernel, where that has it (the module sch_netem). This needs the TUN device alone,
and root. Every namespace has one interface; what is sent there is an IP packet that this process reads, counts, keeps
for as long as the link takes, and hands to the namespace of its address.
"""

import ctypes
import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
MTU = 1500
libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """The reason for which there can be no such network here."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    try:
        subprocess.run(["ip", "netns", "list"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "ip netns does not work (iproute2)"
    return None


class Link:
    """Namespaces `NAME-0`, `NAME-1`, ... with addresses 10.77.0.1, 10.77.0.2, ... A context manager.

    Args:
        delay: seconds that a packet takes from one to another.
    """

    def __init__(self, count: int, delay: float = 0.0, name: str = "fastsr") -> None:
        self.names = [f"{name}-{k}" for k in range(count)]
        self.delay = delay
        self.bytes = 0
        """Of all IP packets so far, headers and acknowledgements included."""
        self.packets = 0
        self.ends: list[int] = []
        self.open = True

    def address(self, index: int) -> str:
        return f"10.77.0.{index + 1}"

    def command(self, index: int, words: list[str]) -> list[str]:
        """The command that runs within a namespace."""
        return ["ip", "netns", "exec", self.names[index], *words]

    def __enter__(self) -> "Link":
        for index, name in enumerate(self.names):
            ip("netns", "add", name)
            self.ends.append(tun_in(name))
            for words in (
                ("addr", "add", f"{self.address(index)}/24", "dev", "tun0"),
                ("link", "set", "tun0", "mtu", str(MTU), "up"),
                ("link", "set", "lo", "up"),
            ):
                ip("netns", "exec", name, "ip", *words)
        self.relay = threading.Thread(target=self.carry, daemon=True)
        self.relay.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        self.relay.join()
        for end in self.ends:
            os.close(end)
        for name in self.names:
            ip("netns", "del", name)

    def carry(self) -> None:
        """Takes packets, and delivers each when its time has come."""
        waiting: list[tuple[float, int, int, bytes]] = []
        while self.open:
            until = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.1
            ready, _, _ = select.select(self.ends, [], [], min(until, 0.1))
            for end in ready:
                packet = os.read(end, MTU + 64)
                target = packet[19] - 1 if packet[0] >> 4 == 4 else -1
                if 0 <= target < len(self.ends):
                    self.packets += 1
                    self.bytes += len(packet)
                    due = time.monotonic() + self.delay
                    heapq.heappush(waiting, (due, self.packets, target, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, target, packet = heapq.heappop(waiting)
                with suppress(OSError):
                    os.write(self.ends[target], packet)


def tun_in(namespace: str) -> int:
    """A descriptor of a new interface tun0 in a namespace, opened by a thread that enters it."""
    opened: list[int] = []

    def enter() -> None:
        with Path(f"/var/run/netns/{namespace}").open() as file:
            if libc.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        end = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", b"tun0", IFF_TUN | IFF_NO_PI))
        opened.append(end)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return opened[0]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
