"""The keywords of ``Script`` and ``respond``: their names, types and defaults.

Whatever takes, checks or lists these keywords derives them from here.
"""

# Without `from __future__ import annotations`: the annotations below are shown to users by `help()`, as types.

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

from pytest_mockstream._base.legal import did_you_mean

from .chunks import Usage
from .shape import Between, Fragment, LineEnding
from .steps import Chunking

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

F = TypeVar("F", bound=Callable[..., object])


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

    chunking: Chunking
    finish_reason: str | None
    usage: Usage | None
    times: int | None


PACING_OPTIONS = tuple(PacingOptions.__annotations__)
SHAPE_OPTIONS = tuple(ShapeOptions.__annotations__)
SCRIPT_OPTIONS = tuple(ScriptOptions.__annotations__)
DEFAULTS: Mapping[str, Any] = {**dict.fromkeys(SCRIPT_OPTIONS), "chunking": "word", "times": 1}


def check_names(options: Mapping[str, object]) -> None:
    """Refuse keywords that do not exist, as Python does where a function lists its own.

    Raises:
        TypeError: it names the keyword with its value, the nearest one that exists, and all of them.
    """
    for name, value in options.items():
        if name not in SCRIPT_OPTIONS:
            near = did_you_mean(name, SCRIPT_OPTIONS)
            msg = f"there is no keyword {name}={value!r}.{near} The keywords are {', '.join(SCRIPT_OPTIONS)}"
            raise TypeError(msg)


def lists_options(function: F) -> F:
    """Have ``help()`` list the keywords that a function takes as ``**options: Unpack[ScriptOptions]``."""
    signature = inspect.signature(function)
    listed = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=annotation)
        for name, annotation in ScriptOptions.__annotations__.items()
    ]
    own = [given for given in signature.parameters.values() if given.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined] # as PEP 362 has it
    return function
