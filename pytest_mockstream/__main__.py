"""``python -m pytest_mockstream``: the commands, each of them loaded when it is asked for."""

from __future__ import annotations

import argparse
import io
import sys
from importlib import import_module

#: What each does, and where its ``main`` is.
_COMMANDS = {
    "serve": ("play a script file over HTTP", ".serve"),
    "record": ("record what passes between a client and its provider", ".record"),
    "convert": ("make recordings of the cassettes of vcrpy and the fixtures of aimock", ".convert"),
    "doctor": ("say what works here and what does not", ".doctor"),
}


def _escape_what_cannot_be_printed() -> None:
    """Let no name of a file end a command: a pipe on Windows takes the characters of one code page only."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _main() -> int:
    _escape_what_cannot_be_printed()
    listed = "\n".join(f"  {name:<8} {does}" for name, (does, _) in _COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m pytest_mockstream",
        description=f"Fake LLM streams without pytest. Commands, each with a --help of its own:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", choices=_COMMANDS, help="one of the above")
    parser.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="of the command")
    options = parser.parse_args()
    try:
        command = import_module(_COMMANDS[options.command][1], __package__)
    except ModuleNotFoundError as error:  # of an optional library; it says what to install
        parser.error(str(error))
    status: int = command.main(options.arguments)
    return status


sys.exit(_main())
