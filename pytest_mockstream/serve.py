"""``python -m pytest_mockstream serve``: the server outside of pytest, for a browser, a demo or a load test.

Here are the arguments, the script file and the output; the server is the one that tests use.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import PROVIDERS, WIRE_PROVIDERS
from pytest_mockstream.doors.server.command import add_arguments, greet, interruption, server_of, starts
from pytest_mockstream.doors.server.panel import Panel, ScriptText
from pytest_mockstream.doors.server.upstreams import is_of_this_machine
from pytest_mockstream.doors.unknown import wrong_path
from pytest_mockstream.playbook.queued import suggested
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.playbook.script_file import ScriptFile, ScriptFileError
from pytest_mockstream.playbook.script_source import ScriptSource
from pytest_mockstream.recordings import mistakes_in
from pytest_mockstream.recordings.toml_text import inline

_LOOK_EVERY = 0.3
_DEFAULT_IS_IDLE = (
    "  default_text is played only where there are no scripts: for all other requests, end with one that has no `when`"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 for a file with mistakes, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name of a file may be no text
    with interruption() as over:
        source = ScriptSource(Path(options.script), providers=WIRE_PROVIDERS, wrong_path=wrong_path)
        try:
            content = source.read()
        except ScriptError as error:
            print(error, file=sys.stderr)
            return 1 if isinstance(error, ScriptFileError) else 2
        if options.check:
            return _check(source, content)
        return _serve(source, content, over, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_mockstream serve", description=_serve.__doc__)
    parser.add_argument("script", metavar="SCRIPT.toml", help="the scripts, in TOML; read again whenever it changes")
    add_arguments(parser)
    parser.add_argument(
        "--allow-remote-control",
        action="store_true",
        help="with a --host that other machines reach, let the page there hold and break streams and save the script",
    )
    parser.add_argument("--check", action="store_true", help="say what is wrong with the file, and serve nothing")
    return parser


def _check(source: ScriptSource, content: ScriptFile) -> int:
    """Say what is wrong with a file that can be served; as a recording, it may have other mistakes."""
    if mistakes := mistakes_in(content, source.path, PROVIDERS):
        print("\n".join(mistakes), file=sys.stderr)
        return 1
    print(f"{source.path}: {counted(len(content.scripts), 'script')}, no mistakes")
    if content.scripts and content.default_text is not None:
        print(_DEFAULT_IS_IDLE)
    return 0


def _serve(source: ScriptSource, content: ScriptFile, over: threading.Event, options: argparse.Namespace) -> int:
    """Play a script file over HTTP until Ctrl-C, and show at / what happens; a second Ctrl-C waits for nothing."""
    script = ScriptText(source)
    server = server_of(options, panel=Panel(script=script, allows_remote=options.allow_remote_control))
    if server is None:
        return 2
    commands = is_of_this_machine(options.host) or options.allow_remote_control

    def advise(request: Request) -> str:
        return _add_a_script(request, source.path, f"{server.url}/" if commands else None)

    script.play_with(partial(server.replace, advise=advise), content)
    if not starts(server, options):
        return 2
    with server:
        greet(server, f"{source.path} plays", options.host)
        print(f"  {_page(server.url, options)}", flush=True)
        while not over.wait(_LOOK_EVERY):
            _look(script)
        server.end_streams()
    return 0


def _add_a_script(request: Request, path: Path, page: str | None) -> str:
    """Say to who asks a server that plays a file how such requests get a script there.

    Args:
        request: that none is left for.
        path: of the file.
        page: where the file can be edited, too; None if it cannot.
    """
    when = suggested(request)
    where = f"{path}, in an editor or at {page}" if page else f"{path}"
    return (
        f"Add one to {where}; what is saved is played at once:\n  [[script]]\n"
        + (f"  when = {inline(when)}\n" if when else "")
        + '  steps = ["Hello"]\n'
        "For a default, end the file with a [[script]] that has no `when`: it answers all other requests.\n"
        "A script whose `times` is up is over: without `times`, it answers any number of requests."
    )


def _page(url: str, options: argparse.Namespace) -> str:
    if is_of_this_machine(options.host):
        return f"watch it, hold streams and break them by hand: {url}/"
    if options.allow_remote_control:
        return f"watch it, hold streams and break them by hand: {url}/ (whoever can open that page can)"
    return (
        f"watch it: {url}/ (holding and breaking streams there is off: add --allow-remote-control, or leave --host out)"
    )


def _look(script: ScriptText) -> None:
    """Play the file anew if it has changed, and say so."""
    path = script.source.path
    try:
        content = script.look()
    except ScriptError as error:
        print(f"{error}\n{path} has mistakes: playing what it said before", file=sys.stderr, flush=True)
    else:
        if content is not None:
            print(f"{path} has changed: read again, {counted(len(content.scripts), 'script')}", flush=True)
