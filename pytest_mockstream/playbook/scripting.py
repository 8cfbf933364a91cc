"""What every door offers to its test: ``respond``, ``when``, ``verify`` and the record of requests.

It fills the playbook and reads it back; it plays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Literal, Never, Unpack

from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.script.options import DEFAULTS, ScriptOptions, check_names, lists_options
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Step

from .playbook import Playbook
from .queued import Condition
from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

DEFAULT_TEXT = "This is a mock response, streamed one word at a time."
_DEFAULT_SCRIPT = Script(DEFAULT_TEXT, times=None)
_CONDITIONS = ", ".join(f"{field.name}=" for field in fields(Condition))


def default_script(text: str) -> Script:
    """Return a script that answers any number of requests with a text."""
    return _DEFAULT_SCRIPT if text == DEFAULT_TEXT else Script(text, times=None)


def _unnamed(value: object) -> str:
    if isinstance(value, str):
        return f"write when(contains={value!r}) for a text in the user's last message, or another of {_CONDITIONS}"
    if callable(value):
        return "write when(predicate=...) for a function that gets the request"
    return f"write one of {_CONDITIONS}"


class When:
    """What ``when(...)`` returns: its ``respond`` queues scripts for the requests that meet the condition."""

    def __init__(self, playbook: Playbook, condition: Condition) -> None:
        self._playbook = playbook
        self._condition = condition

    def __repr__(self) -> str:
        return str(self._condition)

    @lists_options
    def respond(self, *steps: Step | Script | str, **options: Unpack[ScriptOptions]) -> None:
        """Queue one script for the requests that meet the condition; see ``Scripted.respond``."""
        self._playbook.fulfil(self._condition)
        self._playbook.queue(_script(steps, options), self._condition, site=calling_site())


def _script(steps: tuple[Step | Script | str, ...], options: ScriptOptions) -> Script:
    """Return the script to queue: one script alone keeps its settings, except for those given here."""
    check_names(options)
    if not steps:
        raise ScriptError('respond() has nothing to play: give it text or other steps, or "" for an empty answer')
    first = steps[0] if len(steps) == 1 else None
    if isinstance(first, Script):
        said = {name: value for name, value in options.items() if value is not None or DEFAULTS[name] is not None}
        return Script(*first.steps, **{**first.options, **said})
    return Script(*steps, **options)


class Scripted:
    """A door, as its test sees it: takes scripts, and keeps a record of the requests."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook

    @lists_options
    def respond(self, *steps: Step | Script | str, **options: Unpack[ScriptOptions]) -> None:
        r"""Queue one script: the next request that it is meant for gets it as the answer.

        One ``Script`` alone is queued with its own settings; those given here win.

        Args:
            *steps: what the stream plays, in order. Content: a ``str`` or ``Text``, ``Reasoning``, ``Refusal``,
                ``ToolCall``; time: ``Wait``, ``Gate``, ``KeepAlive``; faults: ``Truncate``, ``Disconnect``, ``Stall``,
                ``Malformed``, ``ErrorEvent``, ``HTTPError``. Another ``Script`` stands for its steps.
            delay: seconds before each chunk of content (or ``"50ms"``, ``"1.5s"``, ``"2m"``); None leaves it to the
                client or the settings of the test, in the end 0.
            ttft: seconds before the first chunk of content (time to first token); None makes it ``delay``.
            jitter: the largest random change of each ``delay``, plus or minus, in seconds.
            seed: the seed of all that is random in the script; the same seed gives the same stream.
            tokens_per_second: the inverse of ``delay``, to be given instead of it; one chunk counts as one token.
            chunking: how text is cut into chunks: ``"word"``, ``"char"``, a number of characters, or a callable that
                takes the text and returns its parts.
            finish_reason: why the model stops; by default ``"stop"``, or ``"tool_calls"`` if the script calls a tool.
            usage: the tokens used; by default the words of the prompt and the number of chunks.
            times: how many requests the script answers; None for any number.
            fragment: the HTTP body comes in pieces of one ``"byte"``, of this many bytes, or of ``"random"`` lengths.
            line_ending: the line ending of the HTTP body: ``"\n"`` or ``"\r\n"``.
            between: what comes between the frames of the HTTP body: a ``"comment"`` or a ``"ping"``.
            duplicate: each n-th frame of the HTTP body comes twice.

        Raises:
            ScriptError: something in it cannot be played, or it comes after a request that it was meant for.
            TypeError: there is no such keyword.
        """
        self._check_reach()
        When(self._playbook, Condition()).respond(*steps, **options)

    def when(
        self,
        *unnamed: Never,
        contains: str | None = None,
        matches: str | None = None,
        model: str | None = None,
        provider: str | None = None,
        tool: str | None = None,
        tool_result_contains: str | None = None,
        turn: int | None = None,
        predicate: Callable[[Request], bool] | None = None,
    ) -> When:
        """Choose the requests that a script is for: ``when(contains="weather").respond(...)``.

        A request must meet all the conditions that are given.

        Args:
            *unnamed: nothing: every condition is named.
            contains: the user's last message contains this text.
            matches: this regular expression is found in the user's last message.
            model: the model that is asked for, exactly.
            provider: the provider that is asked, such as ``"openai"``.
            tool: the request offers a tool of this name.
            tool_result_contains: the result of a tool that ran since the model's last turn contains this text.
            turn: this turn of the model is asked for; its first answer in a conversation is turn 1.
            predicate: a function that takes the ``Request`` and returns whether the script is for it.

        Raises:
            ScriptError: a condition is not legal, no request can meet it, or there is none.
        """
        self._check_reach()
        if unnamed:
            raise ScriptError(f"when({unnamed[0]!r}) does not say what to look at: {_unnamed(unnamed[0])}")
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
        if condition == Condition():
            raise ScriptError(f"when() narrows nothing: give one of {_CONDITIONS}, or call respond(...) alone")
        self._playbook.promise(condition, calling_site())
        return When(self._playbook, condition)

    def _check_reach(self) -> None:
        """Raise ``ScriptError`` if no request can come to this door as it is."""

    def verify(self, *, unused: Literal["error", "allow"] = "error") -> None:
        """Raise the errors that the code under test may have swallowed; the fixture calls it at the end of the test.

        Args:
            unused: ``"allow"`` if scripts may be left over.

        Raises:
            UnexpectedRequestError: a request came that no script was left for.
            UnusedScriptError: a script was not played as often as it should have been, or a ``when`` has no
                ``respond``.
        """
        self._playbook.verify(unused=unused)

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order, each with what became of it."""
        return self._playbook.requests
