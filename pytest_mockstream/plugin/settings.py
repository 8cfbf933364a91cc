"""Every setting: its one spelling, what is legal, and where it may be given.

The wall: no pytest. Texts and numbers come in, level by level, from the narrowest to the widest; one frozen
``Settings`` comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration, integer, one_of, rate
from pytest_mockstream.script.pacing import Pacing

DEFAULT_BUFFER_SIZE = 100


def _path(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        msg = f"{name}={value!r} is not a path"
        raise ScriptError(msg)
    return value


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: as the marker's keyword; the option and the ini key are made of it.
        parse: takes a value and the setting's name; returns what is meant or raises ``ScriptError``.
        help: one line, without the default.
        metavar: what ``--help`` shows for the value.
        default: what holds where nothing is said.
        marker: whether ``@pytest.mark.mockstream`` takes it.
        option: whether the command line and the ini file take it.
    """

    name: str
    parse: Callable[[object, str], Any]
    help: str
    metavar: str
    default: Any = None
    marker: bool = True
    option: bool = True

    @property
    def flag(self) -> str:
        """The command line's spelling."""
        return "--mockstream-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        """The ini file's spelling."""
        return "mockstream_" + self.name


SETTINGS = (
    Setting("delay", duration, "time before each chunk of a fake stream (0.05, 50ms)", "TIME"),
    Setting("ttft", duration, "time to the first chunk, instead of the delay", "TIME"),
    Setting("jitter", duration, "each gap between chunks varies by up to so much, either way", "TIME"),
    Setting("seed", integer(), "seed of the jitter: the same seed gives the same gaps", "INT"),
    Setting("tokens_per_second", rate, "another way to say the delay: chunks per second", "RATE"),
    Setting(
        "producer",
        one_of("inline", "background"),
        "inline (nothing runs between two reads) or background (a task or thread, as a real client's)",
        "KIND",
        "inline",
    ),
    Setting(
        "buffer_size",
        integer(at_least=1),
        "how many chunks the producer may be ahead of its reader",
        "N",
        DEFAULT_BUFFER_SIZE,
    ),
    Setting(
        "unused",
        one_of("error", "allow"),
        "whether a script that nobody asked for fails the test: error or allow",
        "WHAT",
        "error",
    ),
    Setting(
        "leaks",
        one_of("error", "warn", "off"),
        "what a test that leaks a task, a thread or a stream gets: error, warn or off",
        "WHAT",
        "error",
        marker=False,
    ),
    Setting(
        "grace",
        duration,
        "the longest to wait for what a test left running to end by itself",
        "TIME",
        0.2,
        marker=False,
    ),
    Setting("report", _path, "write what leaked, as JSON, to this file", "PATH", marker=False),
)

_PACING = ("delay", "ttft", "jitter", "seed", "tokens_per_second")


@dataclass(frozen=True)
class Settings:
    """What is in force for one test.

    Attributes:
        pacing: delay, ttft, jitter, seed and tokens per second of streams that say nothing themselves.
        producer: ``"inline"`` or ``"background"``.
        buffer_size: how many chunks the producer may be ahead of its reader.
        unused: ``"error"`` or ``"allow"``, for scripts that nobody asked for.
        leaks: ``"error"``, ``"warn"`` or ``"off"``.
        grace: seconds.
        report: where to write the JSON report, or None.
    """

    pacing: Pacing
    producer: str
    buffer_size: int
    unused: str
    leaks: str
    grace: float
    report: str | None


def parse_level(given: Mapping[str, object], *, spell: Callable[[Setting], str]) -> dict[str, Any]:
    """Return the parsed values of one level: a marker, the command line or the ini file.

    Args:
        given: values by setting name; None means "not given".
        spell: how this level spells a setting.

    Raises:
        ScriptError: a value is not legal, or two contradict each other; it names them as this level spells them.
    """
    level = {
        setting.name: setting.parse(value, spell(setting))
        for setting in SETTINGS
        if (value := given.get(setting.name)) is not None
    }
    try:
        Pacing(**_pacing(level))
    except ScriptError as error:
        names = ", ".join(spell(setting) for setting in SETTINGS if setting.name in _PACING and setting.name in level)
        msg = f"{names}: {error}"
        raise ScriptError(msg) from None
    return level


def check_keywords(keywords: Iterable[str]) -> None:
    """Raise ``ScriptError`` if the ``mockstream`` marker does not take a keyword."""
    legal = [setting.name for setting in SETTINGS if setting.marker]
    if wrong := [name for name in keywords if name not in legal]:
        msg = f"unknown keyword {wrong[0]!r}: give some of {', '.join(legal)}"
        raise ScriptError(msg)


def resolve(levels: Iterable[Mapping[str, Any]]) -> Settings:
    """Return what is in force.

    Args:
        levels: parsed values, from the narrowest (the test's own marker) to the widest (the ini file).
    """
    pacing = Pacing()
    values: dict[str, Any] = {}
    for level in levels:
        pacing = pacing.over(Pacing(**_pacing(level)))
        values = {**level, **values}
    rest = {s.name: values.get(s.name, s.default) for s in SETTINGS if s.name not in _PACING}
    return Settings(pacing=pacing, **rest)


def _pacing(level: Mapping[str, Any]) -> dict[str, Any]:
    return {name: level[name] for name in _PACING if name in level}
