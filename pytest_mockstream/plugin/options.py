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
    Setting("ttft", "time to the first chunk (default: the delay)", "TIME"),
    Setting("jitter", "largest random variation of the gap between chunks, plus or minus", "TIME"),
    Setting("seed", "seed of the jitter: the same seed gives the same gaps", "INT"),
    Setting("tokens_per_second", "sets the delay as a rate: chunks per second", "RATE"),
    Setting(
        "producer",
        "inline (nothing runs between two reads) or background (a task or thread, like a real client's)",
        "KIND",
        "inline",
    ),
    Setting("buffer_size", "how many chunks the producer may be ahead of its reader", "N", 100),
    Setting(
        "passthrough",
        "hosts that tests may reach although a door is open, or was before: api.example.com, host:port, or .example.com"
        " for all that end so",
        "HOSTS",
    ),
    Setting(
        "provider",
        "whose dialect of OpenAI's format the doors speak, such as openrouter (default: as each request tells)",
        "NAME",
    ),
    Setting("unused", "what a script that was never played does to its test: error or allow", "WHAT", "error"),
    Setting(
        "findings",
        "what a finding on how the code under test copes with failures does to its test: error or off",
        "WHAT",
        "off",
    ),
    Setting(
        "record",
        "recordings of real conversations: none plays them, missing records what is not there, all records anew, check"
        " asks the providers again and compares",
        "MODE",
        "none",
    ),
    Setting(
        "replay_speed",
        "plays the gaps of recordings, so many times as fast: 1 as they were, 0 without gaps",
        "FACTOR",
        0.0,
    ),
    Setting(
        "trace",
        "writes a page that shows what happened, for no test (off), for each that failed (failed), or for all",
        "WHICH",
        "off",
    ),
    Setting(
        "trace_dir",
        "the folder of these pages; a relative path begins at the rootdir",
        "PATH",
        "mockstream-trace",
        False,
    ),
    Setting(
        "leaks",
        "what happens to a test that leaks a task, a thread or a stream: error, warn or off",
        "WHAT",
        "error",
        False,
    ),
    Setting("grace", "how long to wait for what a test left running to end by itself", "TIME", 0.2, False),
    Setting(
        "report",
        "write what became of leaks, streams and retries in this run to a file that ends in .html or .json",
        "PATH",
        None,
        False,
    ),
    Setting(
        "known",
        "file of known leaks (see --mockstream-known-update): only leaks that are not in it fail",
        "PATH",
        None,
        False,
    ),
)

_LEAK_IGNORE = (
    "what the leak check leaves out: regular expressions for the names of tasks and threads, of their functions or of"
    " those that created them; with the prefix stack: of any function in their stacks"
)
_LEAK_KINDS = (
    "which kinds of leaks to look for besides tasks, threads and streams: some of asyncgen, coroutine, exception, loop,"
    " process, reader, server, socket, timer"
)
_KNOWN_UPDATE = (
    "create the file of --mockstream-known, or remove entries from it that no longer leak; never adds any to it"
)
_EXIT_GRACE = "how long pytest waits at exit for a leaked thread that is not a daemon (default: 5)"
_PRECEDENCE = (
    "A keyword in the call wins over a marker, a marker over the command line, the command line over the ini file"
)
_FRAMES = "recordings also keep the frames as they came (default: false)"
_MAX_AGE = "warn of recordings that are older when they are played, such as 90d (default: never)"
_CONTAIN = "also cancel leaked tasks whose event loop stays open (default: false)"


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
    parser.addini("mockstream_record_frames", _FRAMES, type="bool", default=False)
    parser.addini("mockstream_record_max_age", _MAX_AGE, type="string", default="")
    parser.addini("mockstream_contain", _CONTAIN, type="bool", default=False)
