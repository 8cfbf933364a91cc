"""What this process holds: descriptors, threads, tasks, objects and memory."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_mockstream.doors.server import MockStreamServer

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MORE_OBJECTS = 60_000  # the SDKs make their models when they first need them
_MORE_BYTES = 128 * 2**20  # and allocators keep what was once needed


@dataclass(frozen=True, slots=True)
class Held:
    """What is held at one moment.

    Attributes:
        descriptors: open files and sockets.
        threads: the names of living threads.
        tasks: the tasks of the servers' loops.
        objects: objects that the collector tracks.
        memory: bytes of resident memory.
    """

    descriptors: int
    threads: tuple[str, ...]
    tasks: int
    objects: int
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {len(self.threads)} threads, {self.tasks} tasks,"
            f" {self.objects:,} objects, {self.memory / 2**20:.0f} MiB"
        )

    def growth_since(self, before: Held) -> str:
        """Return what is held now and was not then; "" if that is no more than caches may take."""
        found = []
        if self.descriptors > before.descriptors:
            found.append(f"descriptors {before.descriptors} -> {self.descriptors}")
        if more := Counter(self.threads) - Counter(before.threads):
            found.append(f"threads {sorted(more.elements())}")
        if self.tasks > before.tasks:
            found.append(f"tasks {before.tasks} -> {self.tasks}")
        if self.objects > before.objects + _MORE_OBJECTS:
            found.append(f"objects {before.objects:,} -> {self.objects:,}")
        if self.memory > before.memory + _MORE_BYTES:
            found.append(f"memory {before.memory:,} -> {self.memory:,} bytes")
        return "; ".join(found)


def held(servers: Sequence[MockStreamServer]) -> Held:
    """Return what is held now, once streams have ended and garbage is collected."""
    for server in servers:
        server.reset()
    for _ in range(3):
        gc.collect()
    for server in servers:
        server.catch_up()
    return Held(
        descriptors=len(os.listdir("/proc/self/fd")),
        threads=tuple(thread.name for thread in threading.enumerate()),
        tasks=sum(server._thread.run(_count_tasks()) for server in servers),
        objects=len(gc.get_objects()),
        memory=int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE,
    )


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())
