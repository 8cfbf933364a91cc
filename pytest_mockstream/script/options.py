"""The keywords of ``Script`` and ``respond``: their names, types and defaults.

Whatever takes, checks or lists these keywords derives them from here.
"""

# Without `from __future__ import annotations`: the annotations below are shown to users by `help()`, as types.

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from pytest_mockstream._base import keywords

from .chunks import Usage
from .shape import Between, Fragment, LineEnding
from .steps import Chunking

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class PacingOptions(TypedDict, total=False):
    """When chunks come; ``Pacing`` explains each."""

    delay: float | str | None
    ttft: float | str | None
    jitter: float | str | None
    seed: int | None
    tokens_per_second: float | None


class ShapeOptions(TypedDict, total=False):
    """How the body is laid out in bytes; ``Shape`` explains each."""

    fragment: Fragment | None
    line_ending: LineEnding | None
    between: Between | None
    duplicate: int | None


class ScriptOptions(PacingOptions, ShapeOptions, total=False):
    """All keywords of ``Script``, which explains each."""

    gaps: Sequence[float | str] | None
    chunking: Chunking
    finish_reason: str | None
    usage: Usage | None
    times: int | None
    headers: Mapping[str, str] | None


PACING_OPTIONS = tuple(PacingOptions.__annotations__)
SHAPE_OPTIONS = tuple(ShapeOptions.__annotations__)
SCRIPT_OPTIONS = tuple(ScriptOptions.__annotations__)
DEFAULTS: Mapping[str, Any] = {**dict.fromkeys(SCRIPT_OPTIONS), "chunking": "word", "times": 1}


def check_names(options: Mapping[str, object]) -> None:
    """Refuse keywords that do not exist; raises ``TypeError``."""
    keywords.check_names(options, SCRIPT_OPTIONS)


lists_options = keywords.lists(ScriptOptions, DEFAULTS)
