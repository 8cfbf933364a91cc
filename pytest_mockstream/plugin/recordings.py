"""Recordings in pytest: which file a test has, in which mode it is run, and when its file is written.

Loaded with the first test that is recorded or plays a recording.

Theory of operation: a test has one tape for all its doors. When its fixtures are gone, what came is made a recording;
what cannot be one fails the test. The file is written when pytest tells of the last phase of the test, if all have
passed: until then anybody, such as the leak check, may say that one has not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_mockstream._base.errors import RecordingError, ScriptError
from pytest_mockstream._base.legal import unknown
from pytest_mockstream._base.wording import counted
from pytest_mockstream.recordings import Recording, Scrubber, Tape, is_failure

if TYPE_CHECKING:
    from .settings import Settings

_KEYWORDS = ("path", "speed", "match", "frames")
_NAME = "mockstream-recordings"
_FOLDER = "streams"
_LONGEST_NAME = 120  # characters of a file's name; file systems take 255 bytes
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\[\]=-]+")
_AGE = re.compile(r"\s*(\d+)\s*(d|h|m|s)\s*")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_TAPE = pytest.StashKey["_OfTest"]()


class _OfTest(NamedTuple):
    """A test's tape and its file."""

    tape: Tape
    path: Path


def begin(config: pytest.Config, mode: str) -> None:
    """Begin a run that records, and refuse to where nobody is there to look at what is recorded.

    Raises:
        pytest.UsageError: ``CI`` is set in the environment, and the mode does not come from the command line.
    """
    if problem := _refused_in_ci(config, mode):
        raise pytest.UsageError(problem)
    _register(config)


def _register(config: pytest.Config) -> None:
    plugins = config.pluginmanager
    if not plugins.has_plugin(_NAME):
        plugins.register(_Recordings(config), _NAME)


def _refused_in_ci(config: pytest.Config, mode: str) -> str | None:
    if mode == "none" or not os.environ.get("CI") or config.getoption("--mockstream-record") is not None:
        return None
    return (
        f"mockstream_record={mode!r} is refused where CI is set in the environment: a run of CI plays recordings and"
        f" asks no provider. Give --mockstream-record={mode} on the command line if it is meant"
    )


def mistakes_in(marker: pytest.Mark) -> list[str]:
    """Return what is wrong with a ``mockstream_recorded`` marker."""
    found = []
    if len(marker.args) > 1:
        found.append(f"takes one path, got {marker.args!r:.80}")
    said = {**({"path": marker.args[0]} if marker.args else {}), **marker.kwargs}
    found += [unknown(name, _KEYWORDS) for name in said if name not in _KEYWORDS]
    if (path := said.get("path")) is not None and not isinstance(path, str | os.PathLike):
        found.append(f"path={path!r:.80}: give the path of a recording, relative to the folder of the test file")
    speed = said.get("speed", 0)
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 <= speed < float("inf"):
        found.append(f"speed={speed!r:.80}: give 0 for no gaps, 1 for those that were recorded, 2 for twice as fast")
    if not isinstance(said.get("frames", False), bool):
        found.append(f"frames={said['frames']!r:.80}: give True or False")
    if "match" in said:
        found += _mistakes_in_match(said["match"])
    return found


def _mistakes_in_match(match: Any) -> list[str]:
    from pytest_mockstream.recordings import checked_match

    try:
        checked_match(match)
    except ScriptError as error:
        return [str(error)]
    return []


def tape_of(item: pytest.Item, settings: Settings) -> Tape | None:
    """Return the tape of a test; None if it neither plays a recording nor makes one.

    Raises:
        RecordingError: there is no recording to play, or it cannot be read, or its place is not legal.
    """
    known = item.stash.get(_TAPE, None)
    if known is not None:
        return known.tape
    marker = item.get_closest_marker("mockstream_recorded")
    if marker is None and settings.record in {"none", "check"}:
        return None  # nobody says that it has a recording
    _register(item.config)
    if problem := _refused_in_ci(item.config, settings.record):
        raise RecordingError(problem)
    made = item.stash[_TAPE] = _of_test(item, marker, settings)
    return made.tape


def _of_test(item: pytest.Item, marker: pytest.Mark | None, settings: Settings) -> _OfTest:
    said: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    if marker is not None and marker.args:
        said["path"] = marker.args[0]
    path = _path_of(item, said.get("path"))
    mode = settings.record
    recording = _load(path, broken_is_none=mode == "all") if path.exists() else None
    if recording is None and mode in {"none", "check"}:
        command = f"pytest --mockstream-record=missing {quote(item.nodeid)}"
        shown = _shown(path, item.config)
        raise RecordingError(
            f"{shown} is not there: record it with `{command}`, with the provider's key in the environment"
        )
    if recording is not None and mode == "none":
        _warn_of_age(item, recording, path)
    if recording is not None and mode in {"missing", "all"}:
        _check_owner(item, recording, path)
    tape = Tape(
        mode,  # type: ignore[arg-type] # checked when it was parsed
        None if mode == "all" else recording,
        test=_scrubbed(item.nodeid),
        match=said.get("match"),
        speed=said.get("speed", settings.replay_speed),
        frames=said.get("frames", item.config.getini("mockstream_record_frames")),
    )
    return _OfTest(tape, path)


def _load(path: Path, *, broken_is_none: bool) -> Recording | None:
    try:
        return Recording.load(path)
    except ScriptError:
        if broken_is_none:  # it is recorded anew
            return None
        raise


def _path_of(item: pytest.Item, given: str | os.PathLike[str] | None) -> Path:
    """Return the file of a test.

    Raises:
        RecordingError: it is outside of the root folder.
    """
    folder = item.path.parent
    path = folder / given if given is not None else folder / _FOLDER / item.path.stem / f"{_file_name(item)}.toml"
    root = item.config.rootpath.resolve()
    if not path.resolve().is_relative_to(root):
        raise RecordingError(f"{path} is outside of {root}, the root folder of the tests: recordings are kept inside")
    return path


def _file_name(item: pytest.Item) -> str:
    name = _scrubbed(item.nodeid.partition("::")[2].replace("::", ".") or item.name)
    safe = _NOT_IN_NAMES.sub("_", name).strip(".")
    if safe == name and len(safe) <= _LONGEST_NAME:
        return safe
    return f"{safe[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"


def _check_owner(item: pytest.Item, recording: Recording, path: Path) -> None:
    """Refuse to write over the recording of another test."""
    owner = recording.test
    if owner is not None and owner != _scrubbed(item.nodeid) and _is_there(owner, item):
        raise RecordingError(
            f"{_shown(path, item.config)} is the recording of {owner}: two tests cannot record into one file. Give one"
            " of them a path of its own"
        )


def _is_there(test: str, item: pytest.Item) -> bool:
    """Tell whether there is another test of this id: it may have been renamed, or moved."""
    if any(other.nodeid == test for other in item.session.items):
        return True
    file, _, name = test.partition("::")
    function = name.rpartition("::")[2].partition("[")[0]
    try:
        return f"def {function}(" in (item.config.rootpath / file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _scrubbed(text: str) -> str:
    """Return an id without the secrets that parameters may have brought into it."""
    scrubbed: str = Scrubber(os.environ).scrub(text)
    return scrubbed


def _warn_of_age(item: pytest.Item, recording: Recording, path: Path) -> None:
    limit = _age(item.config.getini("mockstream_record_max_age"))
    if limit is None or recording.recorded is None:
        return
    recorded = recording.recorded if recording.recorded.tzinfo else recording.recorded.replace(tzinfo=UTC)
    age = datetime.now(UTC) - recorded
    if age > limit:
        old = f"{_shown(path, item.config)} is {counted(age.days, 'day')} old"
        item.warn(pytest.PytestWarning(f"{old}: --mockstream-record=check tells what is new"))


def _age(text: str) -> timedelta | None:
    if not text:
        return None
    match = _AGE.fullmatch(text)
    if match is None:
        raise RecordingError(f"mockstream_record_max_age={text!r}: give days such as '30d', or hours such as '12h'")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _shown(path: Path, config: pytest.Config) -> str:
    try:
        return str(path.relative_to(config.rootpath))
    except ValueError:
        return str(path)


class _Recordings:
    """Writes recordings when their tests have passed, and tells of them at the end of the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: set[str] = set()
        self._made: dict[str, tuple[Recording, Path]] = {}
        self._notes: dict[str, list[str]] = {}
        self._told: dict[str, None] = {}  # also by the workers of pytest-xdist, each line once

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin anew where a test runs again: pytest-rerunfailures 16.0 tells of no teardown before."""
        self._failed.discard(item.nodeid)
        self._made.pop(item.nodeid, None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        try:
            yield
        finally:
            of_test = item.stash.get(_TAPE, None)
            if of_test is not None:
                del item.stash[_TAPE]  # a test that runs again begins anew
        if of_test is None or item.nodeid in self._failed:
            return
        try:
            self._finish(item.nodeid, of_test)
        except RecordingError as error:
            problem = f"RecordingError: {error}"
        else:
            return
        pytest.fail(problem, pytrace=False)  # not in the handler, or pytest would print the error twice

    def _finish(self, test: str, of_test: _OfTest) -> None:
        tape, path = of_test
        notes = self._notes[test] = []
        if tape.mode == "check":
            tape.check()
        if tape.mode == "missing" and (left := tape.not_asked_for()):
            listed = ", ".join(left)
            notes.append(
                f"no request of {test} asked for {listed}: --mockstream-record=all leaves out what is left over"
            )
        if tape.mode != "check" and tape.has_recorded:
            recording = tape.recording()
            self._config.hook.pytest_mockstream_scrub(recording=recording)
            tape.renew_keys(recording)
            tape.refuse_doubts(recording)
            self._made[test] = recording, path
            if all(is_failure(reply.script) for reply in recording.replies):
                notes.append(f"{_shown(path, self._config)} has nothing but failures in it")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Write what was made, once a report says that all of its test has passed: nobody changes that any more."""
        if (told := getattr(report, "mockstream_recorded", None)) is not None:  # by a worker
            self._told |= dict.fromkeys(told)
            return
        if not report.passed:
            self._failed.add(report.nodeid)
        if report.when != "teardown":
            return
        notes = self._notes.pop(report.nodeid, [])
        recording, path = self._made.pop(report.nodeid, (None, None))
        if recording is not None and path is not None:
            if report.nodeid in self._failed:
                notes = [f"{report.nodeid} failed: {counted(len(recording.replies), 'recording')} not written"]
            else:
                notes = [*self._saved(recording, path, report), *notes]
        self._failed.discard(report.nodeid)
        if notes:
            report.mockstream_recorded = notes
            self._told |= dict.fromkeys(notes)

    def _saved(self, recording: Recording, path: Path, report: Any) -> list[str]:
        shown = _shown(path, self._config)
        try:
            recording.save(path)
        except OSError as error:
            report.outcome, report.longrepr = "failed", f"{shown} cannot be written: {error}"
            return []
        lost = sum(len(reply.lost) for reply in recording.replies)
        said = f", {counted(lost, 'thing')} that no script says (`lost` in the file)" if lost else ""
        return [f"{shown}{said}"]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._told:
            terminalreporter.section("recordings")
            for line in self._told:
                terminalreporter.write_line(line)
