"""The command: its arguments, what is said of each file, and the exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_mockstream._base.wording import counted
from pytest_mockstream.recordings import Scrubber

from . import aimock, exchanged, vcrpy
from .files import Job, jobs_for
from .result import ConversionError, Converted, UnreadableFileError

_DESCRIPTION = """Make recordings of cassettes of vcrpy and pytest-recording (YAML or JSON) and of fixtures of aimock
(JSON). Each is told by its content and becomes one file, NAME.toml, beside it or in --out, written at once or not at
all. What is not carried over is said, with its place. The exit status is 0 if every file was converted, 1 if one was
not, 2 if there was none, or none that can be read here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, 1 for a file that is not converted, 2 for one that is not there."""
    parser = argparse.ArgumentParser(prog="python -m pytest_mockstream convert", description=_DESCRIPTION)
    parser.add_argument(
        "files", metavar="FILE", nargs="+", type=Path, help="a cassette, or a directory: every cassette in it"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, help="where the recordings go (default: beside each file)"
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    options = parser.parse_args(arguments)
    scrubber = Scrubber(os.environ)
    status = 0
    for job in jobs_for(options.files, options.out, force=options.force):
        try:
            made = _done(job)
        except ConversionError as error:
            print(_shown(scrubber, str(error)), file=sys.stderr)
            status = max(status, 2 if isinstance(error, UnreadableFileError) else 1)
        else:
            print(f"{job.source} -> {job.target}: {counted(len(made.recording.replies), 'script')}")
            for note in made.notes:
                print(f"  {_shown(scrubber, note)}")
    return status


def _shown(scrubber: Scrubber, text: str) -> str:
    """Return a text without secrets, and without what no console can show: JSON may have half a character."""
    scrubbed: str = scrubber.scrub(text)
    return scrubbed.encode(errors="backslashreplace").decode()


def _done(job: Job) -> Converted:
    """Convert a file.

    Raises:
        ConversionError: it cannot be; nothing is written.
    """
    file = job.found
    if isinstance(file, ConversionError):
        raise file
    made = exchanged.recorded(file.path, vcrpy.exchanges_of(file)) if file.tool == "vcrpy" else aimock.recorded(file)
    try:
        made.recording.save(job.target)
    except OSError as error:
        raise ConversionError(f"{job.source}: {job.target} cannot be written: {error.strerror or error}") from None
    return made
