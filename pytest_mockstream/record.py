"""``python -m pytest_mockstream record``: a proxy between any client and its provider that records what passes.

Here are the arguments, the file and the output; the server is the one that tests use.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.doors.server.command import add_arguments, greet, interruption, server_of, starts
from pytest_mockstream.doors.server.upstreams import base_url
from pytest_mockstream.recordings import Tape

_LOOK_EVERY = 0.3
_LARGEST_BODY = 512 * 2**20  # of a file that a client uploads: https://platform.openai.com/docs/api-reference/files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 if not all could be written, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    path: Path = options.out
    if path.exists() and not (options.overwrite and path.is_file()):
        what, or_else = ("there already", ", or say --overwrite to record anew") if path.is_file() else ("no file", "")
        print(f"{path} is {what}: give another --out{or_else}", file=sys.stderr)
        return 2
    with interruption() as over:
        return _record(options, over)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_mockstream record", description=_record.__doc__)
    parser.add_argument(
        "--to",
        metavar="URL",
        type=_base_url,
        help="where requests are sent on to, as an SDK's base URL, such as https://api.openai.com/v1 (default: where"
        " the environment leads the provider's SDK, or else to the provider)",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("recording.toml"),
        help="what is written (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="write over a file that is there")
    parser.add_argument("--frames", action="store_true", help="keep the frames as they came, too")
    add_arguments(parser)
    return parser


def _base_url(text: str) -> str:
    try:
        return base_url(text, "URL").geturl()
    except ScriptError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _record(options: argparse.Namespace, over: threading.Event) -> int:
    """Send requests on to their provider, and record what comes, until Ctrl-C; a second Ctrl-C waits for nothing."""
    tape = Tape("all", frames=options.frames)
    server = server_of(options, recordings=tape, upstream=options.to, max_body=_LARGEST_BODY)
    if server is None or not starts(server, options):
        return 2
    file = _File(options.out, tape, server)
    with server:
        to = options.to or "its provider"
        greet(server, f"what is asked goes to {to}, and is recorded in {options.out},", options.host)
        while not over.wait(_LOOK_EVERY):
            file.update()
        if left := server.unfinished:
            print(f"waiting for the rest of what {counted(left, 'client')} left; Ctrl-C ends it now", flush=True)
        server.finish_recording()
        is_written = file.update()
        server.end_streams()
    return 0 if is_written else 1


class _File:
    """The recording on disk: what has ended so far."""

    def __init__(self, path: Path, tape: Tape, server: MockStreamServer) -> None:
        self._path = path
        self._tape = tape
        self._server = server
        self._ended = 0
        self._count = 0
        self._is_whole = True
        self._told: set[str] = set()

    def update(self) -> bool:
        """Write what is new, and tell what cannot be written; return whether all of it was."""
        for problem in self._server.problems:
            self._tell(str(problem))
        if (ended := self._tape.ended) > self._ended:
            self._is_whole = self._write()
            self._ended = ended if self._is_whole else self._ended
        return self._is_whole

    def _write(self) -> bool:
        recording, problems = self._tape.so_far()
        for problem in problems:
            self._tell(problem)
        if (count := len(recording.replies)) > self._count:
            try:
                recording.save(self._path)
            except OSError as error:
                self._tell(f"{self._path} cannot be written: {error}")
                return False
            self._count = count
            print(f"{self._path}: {counted(count, 'request')}", flush=True)
        return not problems

    def _tell(self, problem: str) -> None:
        """Say something once."""
        if problem not in self._told:
            self._told.add(problem)
            print(problem, file=sys.stderr, flush=True)
