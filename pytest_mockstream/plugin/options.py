"""The options and ini keys of every setting: one spelling each, with help and default; what is legal is elsewhere.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pytest


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: as the marker's keyword; the option and the ini key are made of it.
        help: one line, without the default.
        metavar: what ``--help`` shows for the value.
        default: what holds where nothing is said.
        marker: whether ``@pytest.mark.mockstream`` takes it.
    """

    name: str
    help: str
    metavar: str
    default: Any = None
    marker: bool = True

    @property
    def flag(self) -> str:
        """The command line's spelling."""
        return "--mockstream-" + self.name.replace("_", "-")

    @property
    def ini(self) -> str:
        """The ini file's spelling."""
        return "mockstream_" + self.name


SETTINGS = (
    Setting("delay", "time before each chunk of a fake stream (0.05, 50ms)", "TIME"),
    Setting("ttft", "time to the first chunk, instead of the delay", "TIME"),
    Setting("jitter", "largest random change of a gap between chunks, plus or minus", "TIME"),
    Setting("seed", "seed of the jitter: the same seed gives the same gaps", "INT"),
    Setting("tokens_per_second", "another way to say the delay: chunks per second", "RATE"),
    Setting(
        "producer",
        "inline (nothing runs between two reads) or background (a task or thread, as a real client's)",
        "KIND",
        "inline",
    ),
    Setting("buffer_size", "how many chunks the producer may be ahead of its reader", "N", 100),
    Setting("unused", "whether a script that nobody asked for fails the test: error or allow", "WHAT", "error"),
    Setting(
        "leaks", "what a test that leaks a task, a thread or a stream gets: error, warn or off", "WHAT", "error", False
    ),
    Setting("grace", "the longest to wait for what a test left running to end by itself", "TIME", 0.2, False),
    Setting("report", "write what leaked, as JSON, to this file", "PATH", None, False),
    Setting("known", "the leaks that the suite has today are in this file: only new ones fail", "PATH", None, False),
)

_LEAK_IGNORE = (
    "what the leak check leaves out: names of tasks or threads, of their functions or of those that created them; after"
    " stack: any function in their stacks; regexes too"
)
_LEAK_KINDS = (
    "which kinds of leaks to look for besides tasks, threads and streams: some of asyncgen, coroutine, exception, loop,"
    " process, reader, server, socket, timer"
)
_KNOWN_UPDATE = "write that file if it is not there, or take out of it what leaks no more"
_EXIT_GRACE = (
    "how long pytest waits, when it is done, for a thread that failed a test and is no daemon, before it ends without"
    " it (default: 5)"
)
_PRECEDENCE = "A keyword in the call wins over a marker, a marker over the command line, that over the ini file."
_CONTAIN = "whether tasks that fail a test by leaking are cancelled even where their loop lives on (default: false)"


def add_options(parser: pytest.Parser) -> None:
    """Tell pytest of all options and ini keys."""
    group = parser.getgroup("mockstream", f"fake LLM streams (pytest-mockstream)\n  {_PRECEDENCE}")
    for setting in SETTINGS:
        default = "" if setting.default is None else f" (default: {setting.default})"
        group.addoption(setting.flag, metavar=setting.metavar, default=None, help=setting.help + default)
        parser.addini(setting.ini, setting.help + default, type="string", default=None)
    group.addoption("--mockstream-known-update", action="store_true", default=False, help=_KNOWN_UPDATE)
    parser.addini("mockstream_leak_ignore", _LEAK_IGNORE, type="linelist", default=[])
    parser.addini("mockstream_leak_kinds", _LEAK_KINDS, type="args", default=[])
    parser.addini("mockstream_exit_grace", _EXIT_GRACE, type="string", default="")
    parser.addini("mockstream_contain", _CONTAIN, type="bool", default=False)
