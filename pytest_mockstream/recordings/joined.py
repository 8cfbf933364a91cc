"""Makes one recording of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from .recording import Recording
from .shape import merged


def joined(recordings: Sequence[Recording]) -> Recording:
    """Return a recording of all that was said in these, one after the other."""
    shapes: dict[str, list[dict[str, list[str]]]] = {}
    for recording in recordings:
        for name, shape in recording.shapes.items():
            shapes.setdefault(name, []).append(shape)
    return Recording(
        sdks=_unique(recording.sdks for recording in recordings),
        models=_unique(recording.models for recording in recordings),
        replies=[reply for recording in recordings for reply in recording.replies],
        shapes={name: merged(of_name) for name, of_name in shapes.items()},
    )


def _unique(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(lists)))
