"""The command: its arguments, the order in which things are looked at, its output and its exit status."""

from __future__ import annotations

import argparse
import io
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout

from . import doors, formats, installed, leak_check, project
from .report import Entry, as_dict, as_text, problems
from .seal import sealed

_DESCRIPTION = """Say what is installed, what each door reaches, what the leak check sees, which settings are in force,
and whether the wire formats fit the SDKs that are installed. Nothing is sent to the network. The exit status is 1 if
something does not work."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, or 1 if something does not work."""
    parser = argparse.ArgumentParser(prog="python -m pytest_mockstream doctor", description=_DESCRIPTION)
    parser.add_argument("--json", action="store_true", help="for programs; the key 'version' is the schema's")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:  # what others print or warn of meanwhile is not what was asked for
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        warnings.simplefilter("ignore")
        # The project comes first: what its conftest files do to Python, the leak check has to live with.
        settings, companions = project.look()
        stack.enter_context(sealed())
        report = {
            "installed": _looked("packages", installed.look),
            "settings": settings,
            "companions": companions,
            "leak check": _looked("leak check", leak_check.look),
            "doors": _looked("doors", doors.look),
            "formats": _looked("formats", formats.look),
        }
    print(json.dumps(as_dict(report), indent=2) if options.json else as_text(report))
    return 1 if problems(report) else 0


def _looked(name: str, look: Callable[[], Iterable[Entry]]) -> list[Entry]:
    """Look at something; that it cannot be looked at is a finding, too."""
    entries: list[Entry] = []
    try:
        entries.extend(look())
    except Exception as error:
        entries.append(Entry(name=name, says=f"the look at it ended with {error!r}", status="problem"))
    return entries
