"""The keywords that the constructors of all doors take, and the settings that they give."""

# Without `from __future__ import annotations`: the annotations below are shown to users by `help()`, as types.

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pytest_mockstream._base.keywords import check_names, lists
from pytest_mockstream._base.legal import integer, one_of
from pytest_mockstream.playbook.scripting import DEFAULT_TEXT
from pytest_mockstream.script.options import PACING_OPTIONS, PacingOptions
from pytest_mockstream.script.pacing import Pacing

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Producer: TypeAlias = Literal["inline", "background"]

DEFAULT_BUFFER_SIZE = 100


class ServerOptions(PacingOptions, total=False):
    """Keywords of every door; the door itself says what each means."""

    default_text: str
    buffer_size: int


class DoorOptions(ServerOptions, total=False):
    """Keywords of the doors whose streams play where they are read."""

    producer: Producer


_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(PACING_OPTIONS),
    "default_text": DEFAULT_TEXT,
    "buffer_size": DEFAULT_BUFFER_SIZE,
    "producer": "inline",
}

lists_door_options = lists(DoorOptions, _DEFAULTS)
lists_server_options = lists(ServerOptions, _DEFAULTS)

producer_of = one_of("inline", "background")
buffer_size_of = integer(at_least=1)


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What the keywords of a door say.

    Attributes:
        default_text: what every request gets as long as nothing was ever queued.
        pacing: of scripts that say nothing themselves.
        buffer_size: how many chunks or frames the producer may be ahead of its reader.
        producer: ``"inline"`` or ``"background"``.
    """

    default_text: str
    pacing: Pacing
    buffer_size: int
    producer: str


def door_settings(options: Mapping[str, Any], kind: type, *own: str) -> DoorSettings:
    """Check the keywords of a door.

    Args:
        options: as given.
        kind: ``DoorOptions`` or ``ServerOptions``.
        own: the keywords that this door has besides, for the message.

    Raises:
        TypeError: there is no such keyword.
        ScriptError: a value is not legal.
    """
    check_names(options, (*kind.__annotations__, *own))
    given = {**_DEFAULTS, **options}
    return DoorSettings(
        default_text=given["default_text"],
        pacing=Pacing(**{name: given[name] for name in PACING_OPTIONS}),
        buffer_size=buffer_size_of(given["buffer_size"], "buffer_size"),
        producer=producer_of(given["producer"], "producer"),
    )
