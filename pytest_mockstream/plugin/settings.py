"""What is legal for each setting, and which value is in force where several levels give one.

Texts and numbers come in, level by level, from the narrowest to the widest; one frozen ``Settings`` comes out. It is
loaded only once something is given, or asked for: without either, the defaults of ``options`` hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration, hosts, integer, one_of, rate
from pytest_mockstream.script.pacing import Pacing

from .options import SETTINGS, Setting

#: The formats of the report of a run, as its file's name tells them.
REPORT_ENDINGS = (".json", ".html")


def _path(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        msg = f"{name}={value!r} is not a path"
        raise ScriptError(msg)
    return value


def _report(value: object, name: str) -> str:
    path = _path(value, name)
    if not path.lower().endswith(REPORT_ENDINGS):
        msg = f"{name}={path!r}: the ending says what is written, give {' or '.join(REPORT_ENDINGS)}"
        raise ScriptError(msg)
    return path


def _hosts(value: object, name: str) -> tuple[str, ...]:
    return hosts(value.replace(",", " ").split() if isinstance(value, str) else value, name)


def _provider(value: object, name: str) -> str:
    from pytest_mockstream.wire import DIALECTS  # loaded only where one is given

    return one_of(*DIALECTS)(value, name)


def _speed(value: object, name: str) -> float:
    return 0.0 if value in {0, "0"} else rate(value, name)


_PARSERS: dict[str, Callable[[object, str], Any]] = {
    "delay": duration,
    "ttft": duration,
    "jitter": duration,
    "seed": integer(),
    "tokens_per_second": rate,
    "producer": one_of("inline", "background"),
    "buffer_size": integer(at_least=1),
    "passthrough": _hosts,
    "provider": _provider,
    "unused": one_of("error", "allow"),
    "findings": one_of("error", "off"),
    "record": one_of("none", "missing", "all", "check"),
    "replay_speed": _speed,
    "trace": one_of("off", "failed", "all"),
    "trace_dir": _path,
    "leaks": one_of("error", "warn", "off"),
    "grace": duration,
    "report": _report,
    "known": _path,
}

#: What the ``mockstream`` marker takes.
MARKER_KEYWORDS = tuple(setting.name for setting in SETTINGS if setting.marker)
_PACING = ("delay", "ttft", "jitter", "seed", "tokens_per_second")


@dataclass(frozen=True)
class Settings:
    """What is in force for one test.

    Attributes:
        pacing: delay, ttft, jitter, seed and tokens per second of streams that say nothing themselves.
        producer: ``"inline"`` or ``"background"``.
        buffer_size: how many chunks the producer may be ahead of its reader.
        passthrough: hosts that the test reaches, or None.
        provider: whose dialect of OpenAI's format the doors speak, or None.
        unused: ``"error"`` or ``"allow"``, for scripts that nobody asked for.
        findings: ``"error"`` or ``"off"``, for what is wrong with how the code under test copes with failures.
        record: ``"none"``, ``"missing"``, ``"all"`` or ``"check"``.
        replay_speed: how many times as fast as they were the gaps of recordings are played; 0 leaves them out.
        trace: ``"off"``, ``"failed"`` or ``"all"``: which tests get a page that shows what happened.
        trace_dir: the folder of these pages, as it was given.
        leaks: ``"error"``, ``"warn"`` or ``"off"``.
        grace: seconds.
        report: where to write the report of the run, or None.
        known: the file of known leaks, or None.
    """

    pacing: Pacing
    producer: str
    buffer_size: int
    passthrough: tuple[str, ...] | None
    provider: str | None
    unused: str
    findings: str
    record: str
    replay_speed: float
    trace: str
    trace_dir: str
    leaks: str
    grace: float
    report: str | None
    known: str | None


def parse_level(given: Mapping[str, object], *, spell: Callable[[Setting], str]) -> dict[str, Any]:
    """Return the parsed values of one level: a marker, the command line or the ini file.

    Args:
        given: values by setting name; None means "not given".
        spell: how this level spells a setting.

    Raises:
        ScriptError: a value is not legal, or two contradict each other; it names them as this level spells them.
    """
    level = {
        setting.name: _PARSERS[setting.name](value, spell(setting))
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


def describe(settings: Settings) -> str:
    """Return what the header of a run says of its settings."""
    shown = {**asdict(settings.pacing), "producer": settings.producer}
    if settings.producer == "background":
        shown["buffer_size"] = settings.buffer_size
    return ", ".join(f"{name}={value}" for name, value in shown.items() if value is not None)


def _pacing(level: Mapping[str, Any]) -> dict[str, Any]:
    return {name: level[name] for name in _PACING if name in level}
