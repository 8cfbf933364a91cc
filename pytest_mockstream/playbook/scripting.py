"""``respond``, ``when`` and the record: what every door offers to its test.

The wall: it fills a playbook and reads it back; it plays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack

from pytest_mockstream.script.options import DEFAULTS, ScriptOptions, check_names, lists_options
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Step

from .ledger import Request
from .playbook import Condition, Playbook

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

DEFAULT_TEXT = "This is a mock response, streamed one word at a time."
_DEFAULT_SCRIPT = Script(DEFAULT_TEXT, times=None)


def default_script(text: str) -> Script:
    """Return what plays a default text, any number of times."""
    return _DEFAULT_SCRIPT if text == DEFAULT_TEXT else Script(text, times=None)


class When:
    """What ``when(...)`` returns: queues scripts for some requests only."""

    def __init__(self, playbook: Playbook, condition: Condition) -> None:
        self._playbook = playbook
        self._condition = condition

    def __repr__(self) -> str:
        return str(self._condition)

    @lists_options
    def respond(self, *steps: Step | Script | str, **options: Unpack[ScriptOptions]) -> None:
        """Queue one script for the requests that are meant; see ``Scripted.respond``."""
        self._playbook.queue(_script(steps, options), self._condition)


def _script(steps: tuple[Step | Script | str, ...], options: ScriptOptions) -> Script:
    """Return the script to queue: one script alone is queued as it is, but for the settings said here."""
    first = steps[0] if len(steps) == 1 else None
    if isinstance(first, Script):
        check_names(options)
        said = {name: value for name, value in options.items() if value is not None or DEFAULTS[name] is not None}
        return Script(*first.steps, **{**first.options, **said})
    return Script(*steps, **options)


class Scripted:
    """A door, as its test sees it: scripts go in, a record of requests comes out."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook

    @lists_options
    def respond(self, *steps: Step | Script | str, **options: Unpack[ScriptOptions]) -> None:
        r"""Queue one script; the next request that it is meant for gets it.

        Args:
            *steps: see ``Script``, as all the others.
            delay: seconds before each chunk, for this script; None leaves it to the client.
            ttft: seconds before the first chunk.
            jitter: gaps vary by up to so many seconds either way.
            seed: of the jitter.
            tokens_per_second: instead of ``delay``.
            chunking: ``"word"``, ``"char"``, a number of characters, or a callable ``str -> list[str]``.
            finish_reason: default ``"stop"``, or ``"tool_calls"`` if a tool is called.
            usage: tokens used; default: counted.
            times: how many requests it answers; None for any number.
            fragment: where the HTTP body is cut: ``"byte"``, a number of bytes, or ``"random"`` by ``seed``.
            line_ending: of the HTTP body: ``"\n"`` or ``"\r\n"``.
            between: what stands between frames of the HTTP body: ``"comment"`` or ``"ping"``.
            duplicate: every so-many-th frame of the HTTP body comes twice.

        Raises:
            ScriptError: something in it cannot be played, or it comes after a request that it was meant for.
        """
        self.when().respond(*steps, **options)

    def when(
        self,
        *,
        contains: str | None = None,
        matches: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        tool: str | None = None,
        tool_result_contains: str | None = None,
        turn: int | None = None,
        predicate: Callable[[Request], bool] | None = None,
    ) -> When:
        """Narrow which requests the next ``respond`` is for; every condition given must hold.

        Args:
            contains: the user's last message contains this text.
            matches: this regular expression is found in the user's last message.
            model: the model asked for.
            provider: the provider asked.
            tool: a tool of this name is offered.
            tool_result_contains: a tool's result, new since the model last spoke, contains this text.
            turn: which turn of the model is asked for, from 1.
            predicate: a callable that gets the ``Request`` and tells.
        """
        condition = Condition(
            contains=contains,
            matches=matches,
            model=model,
            provider=provider,
            tool=tool,
            tool_result_contains=tool_result_contains,
            turn=turn,
            predicate=predicate,
        )
        return When(self._playbook, condition)

    def verify(self, *, unused: Literal["error", "allow"] = "error") -> None:
        """Raise what the code under test may have hidden; the fixture calls it when the test is over.

        Args:
            unused: ``"allow"`` lets scripts go unplayed.

        Raises:
            UnexpectedRequestError: a request came that no script was left for.
            UnusedScriptError: a script was never asked for.
        """
        self._playbook.verify(unused=unused)

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order, and what became of it."""
        return self._playbook.requests
