"""Front-codes the frames of a stream: of each, only what differs from the one before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Coded = tuple[int, int, str]


def coded(frames: Iterable[str | None]) -> list[Coded | None]:
    """Return for each frame how many characters it begins and ends with as the one before it, and what is between.

    Args:
        frames: None stands for something that has no frame.
    """
    found: list[Coded | None] = []
    before = ""
    for frame in frames:
        if frame is None:
            found.append(None)
            continue
        head = _common(before, frame)
        most = min(len(before), len(frame)) - head
        tail = _common_end(before, frame, most)
        found.append((head, tail, frame[head : len(frame) - tail]))
        before = frame
    return found


def decoded(codes: Iterable[Coded | None]) -> Iterator[str | None]:
    """Yield the frames again."""
    before = ""
    for code in codes:
        if code is None:
            yield None
            continue
        head, tail, middle = code
        before = before[:head] + middle + before[len(before) - tail :]
        yield before


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with in common; by bisection, for slices are compared at once."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: str, other: str, most: int) -> int:
    low, high, length, width = 0, most, len(one), len(other)
    while low < high:
        middle = (low + high + 1) // 2
        if one[length - middle : length - low] == other[width - middle : width - low]:
            low = middle
        else:
            high = middle - 1
    return low
