"""What the leak check sees on this Python: a task, a thread and a stream are planted, and looked for."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from pytest_mockstream import MockStreamClient
from pytest_mockstream.leaks import DEFAULT_KINDS, KINDS, LeakWatch, finds, sees

from .report import Entry


def look() -> Iterator[Entry]:
    """Yield what was planted, and what of the optional kinds can be looked for."""
    watch = LeakWatch()
    watch.start()
    try:
        glance = sees(watch)
        seen = {**(glance if all(glance.values()) else finds(watch)), "streams": _sees_stream()}
        optional = watch.can_see({*KINDS} - {*DEFAULT_KINDS})
    finally:
        watch.stop()
    for kind, is_seen in seen.items():
        yield _planted(kind, is_seen=is_seen)
    for kind, is_seen in optional.items():
        head = "on demand" if is_seen else "cannot be seen here"
        yield Entry(name=kind, says="", data={"seen": is_seen, "planted": False}, brief=head)


def _planted(kind: str, *, is_seen: bool) -> Entry:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return Entry(
        name=kind,
        says=f"the planted {kind.removesuffix('s')} was {'seen' if is_seen else f'not seen on {python}'}",
        status="ok" if is_seen else "problem",
        remedy=""
        if is_seen
        else "A test that leaks one would pass. Look for a conftest.py or plugin that replaces parts of asyncio or"
        " threading; until then, --mockstream-leaks=warn or off.",
        data={"seen": is_seen, "planted": True},
    )


def _sees_stream() -> bool:
    """Tell whether the record says of a stream that nobody closed that it is open."""
    client = MockStreamClient()
    stream = client.complete_stream("hi")
    next(stream)
    state = client.requests[-1].state
    stream.close()
    return state == "open"
