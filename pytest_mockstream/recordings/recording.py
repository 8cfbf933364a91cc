"""``Recording``: a recorded conversation, and the file that it is kept in.

The file is a script file, with more beside each script; ``playbook.script_file`` reads it. It is written at once or not
at all: first beside its place, and then moved there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.files import write_whole
from pytest_mockstream.playbook.script_file import ScriptFileError
from pytest_mockstream.playbook.script_notes import VERSION, Notes, at_speed
from pytest_mockstream.playbook.script_source import ScriptSource, UnreadableError
from pytest_mockstream.script.script import Script

from .mistakes import computed
from .toml_text import block, key_of, table_of
from .written import json_lines, step_table, usage_table

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_HEAD = """\
# A recorded conversation: a [[script]] for each request, in the order in which they were made. You may change, break,
# add and remove what you like: `python -m pytest_mockstream serve --check FILE` says what is wrong with it. A script
# answers the request that its `key` was made of; take `key` and `request` out, and it answers what meets `when`.

"""
_MS = 1000
_FOREIGN = {".yaml": "a cassette of vcrpy", ".yml": "a cassette of vcrpy", ".json": "the fixtures of another tool"}
_LARGEST = 2**24  # bytes; nobody waits for a longer one


@dataclass(kw_only=True)
class RecordedReply:
    """One request of a recording, and what came.

    Attributes:
        script: plays what came.
        when: the request, for people: keywords of ``when``.
        key: made of the request; a request with the same key gets this reply. None for one that meets ``when``.
        request: what was asked, in the form that the key is made of.
        gaps: seconds before each chunk, the last one included.
        ended: seconds from the last chunk to what broke the stream.
        left_after: how many chunks had come when the client left; None if it stayed.
        lost: what the script does not say of what came: fields of frames, mostly.
        frames: the frames as they came, if they were kept; Base64 behind ``"base64:"`` where they are not UTF-8.
        line: where it stands in its file.
    """

    script: Script
    when: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    request: Mapping[str, Any] | None = None
    gaps: tuple[float, ...] = ()
    ended: float = 0.0
    left_after: int | None = None
    lost: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    line: int = 0

    def at_speed(self, speed: float) -> Script:
        """Return the script with the gaps that were recorded, so many times as fast; 0 leaves them out."""
        return at_speed(self.script, speed, gaps=self.gaps, ended=self.ended)


@dataclass(kw_only=True)
class Recording:
    """A recorded conversation.

    Attributes:
        test: the id of the test that it was recorded in, if any.
        recorded: when.
        sdks: the ``User-Agent`` of each client.
        models: the models that were asked.
        replies: the requests with what came, in the order in which they were made.
        shapes: for each format, which fields its frames had, and in which order its events came.
        path: the file that it was read from or written to.
    """

    test: str | None = None
    recorded: datetime | None = None
    sdks: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    replies: list[RecordedReply] = field(default_factory=list)
    shapes: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    path: Path | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a recording, or a script file that somebody wrote.

        Args:
            path: of the file.

        Raises:
            ScriptError: it cannot be read, is of a version that is not known, or has mistakes; all are told, with file,
                line and key.
        """
        found = Path(path)
        try:
            content = ScriptSource(found, largest=_LARGEST).read()
        except UnreadableError as error:
            raise ScriptError(f"no recording can be read: {error}") from None
        except ScriptFileError as error:
            if (kind := _FOREIGN.get(found.suffix)) is not None:
                remedy = f"make a recording of it with `python -m pytest_mockstream convert {found}`"
                raise ScriptError(f"{found} looks like {kind}: {remedy}") from None
            raise error
        said = content.recording or {}
        replies = [
            _reply_of(script, condition, notes, line, found)
            for (script, condition), notes, line in zip(content.scripts, content.notes, content.lines, strict=True)
        ]
        recorded = said.get("recorded")
        return cls(
            test=said.get("test"),
            recorded=recorded if isinstance(recorded, datetime) else None,
            sdks=list(said.get("sdks", [])),
            models=list(said.get("models", [])),
            replies=replies,
            shapes=dict(said.get("shapes", {})),
            path=found,
        )

    @property
    def text(self) -> str:
        """The text of its file."""
        return "".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield _HEAD
        recorded = None if self.recorded is None else self.recorded.replace(microsecond=0)
        said = {"test": self.test, "recorded": recorded, "sdks": self.sdks or None, "models": self.models or None}
        yield "[recording]\n" + table_of({"version": VERSION, **said}.items())
        for reply in self.replies:
            yield "\n[[script]]\n" + table_of(_pairs(reply))
        for name, shape in self.shapes.items():
            yield f"\n[shapes.{key_of(name)}]\n" + table_of(shape.items())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, at once or not at all; folders that are missing are made.

        Raises:
            OSError: it cannot be written.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, self.text.encode(), is_durable=True)
        self.path = target


def _reply_of(script: Any, condition: Any, notes: Notes, line: int, path: Path) -> RecordedReply:
    if not isinstance(script, Script):
        raise ScriptFileError([f"{path}:{line}: {computed(script)}"])
    when = condition.narrowing
    return RecordedReply(
        script=script,
        when=when,
        key=notes.key,
        request=notes.request,
        gaps=notes.gaps,
        ended=notes.ended,
        left_after=notes.left_after,
        lost=notes.lost,
        frames=notes.frames,
        line=line,
    )


def _pairs(reply: RecordedReply) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a script's table; what people look for comes first."""
    script = reply.script
    yield "when", reply.when or None
    yield "key", reply.key
    yield "steps", list(map(step_table, script.steps))
    for name, value in script.options.items():
        if name == "usage":
            yield "usage", usage_table(value)
        elif name not in {"gaps", "times"}:
            yield name, value
    if reply.key is None:  # where there is none, a file means any number of requests, and with one, a single one
        yield "times", script.times
    yield "gaps_ms", [_milliseconds(gap) for gap in reply.gaps] or None
    yield "ended_ms", _milliseconds(reply.ended) or None
    yield "left_after", reply.left_after
    yield "lost", list(reply.lost) or None
    yield "request", None if reply.request is None else block(json_lines(reply.request))
    yield "frames", list(reply.frames) or None


def _milliseconds(seconds: float) -> float:
    return round(seconds * _MS, 1)
