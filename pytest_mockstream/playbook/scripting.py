"""What every door offers to its test: ``respond``, ``when``, ``verify`` and the record of requests.

It fills the playbook and reads it back; it plays nothing.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Never, TypedDict, Unpack

from pytest_mockstream._base import keywords
from pytest_mockstream._base.callsite import CallSite, calling_site
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import integer, rate
from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.options import ScriptOptions, check_names, lists_options
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Step

from .computed import ComputedScript, Responder, computes, script_of
from .findings import MOST_TRIES, Finding, findings_of
from .injected import Chaos, RateLimit, injections
from .outcome import NOTHING, Outcome
from .playbook import Playbook
from .queued import Condition, Header
from .request import Request
from .script_notes import Notes, at_speed
from .script_source import ScriptSource, UnreadableError

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

DEFAULT_TEXT = "This is a mock response, streamed one word at a time."
_DEFAULT_SCRIPT = Script(DEFAULT_TEXT, times=None)
_FORKED = (
    "a process that was forked while {name} was open has made requests: a copy of the scripts has answered them, and"
    " they are not in its requests. mock_stream_server has one record for all processes."
)


class ConditionOptions(TypedDict, total=False):
    """Keywords of ``when``, which explains each."""

    contains: str | None
    matches: str | None
    model: str | None
    provider: str | None
    tool: str | None
    tool_result_contains: str | None
    turn: int | None
    system: str | None
    schema: str | None
    header: Header | None
    test: str | None
    path: str | None
    predicate: Callable[[Request], bool] | None


_at_least_one = integer(at_least=1)
_CONDITIONS = tuple(ConditionOptions.__annotations__)
_CONDITIONS_LISTED = ", ".join(f"{name}=" for name in _CONDITIONS)


def default_script(text: str) -> Script:
    """Return a script that answers any number of requests with a text."""
    return _DEFAULT_SCRIPT if text == DEFAULT_TEXT else Script(text, times=None)


def _unnamed(value: object) -> str:
    if isinstance(value, str):
        given = brief(value)
        return f"write when(contains={given}) for a text in the user's last message, or another of {_CONDITIONS_LISTED}"
    if callable(value):
        return "write when(predicate=...) for a function that gets the request"
    return f"write one of {_CONDITIONS_LISTED}"


class When:
    """What ``when(...)`` returns: its ``respond`` queues scripts for the requests that meet the condition."""

    def __init__(self, playbook: Playbook, condition: Condition) -> None:
        self._playbook = playbook
        self._condition = condition

    def __repr__(self) -> str:
        return str(self._condition)

    @lists_options
    def respond(self, *steps: Step | Script | str | Responder, **options: Unpack[ScriptOptions]) -> None:
        """Queue one script for the requests that meet the condition; see ``Scripted.respond``."""
        self._playbook.fulfil(self._condition)
        self._playbook.queue(_script(steps, options), self._condition, site=calling_site())


def _script(steps: tuple[Step | Script | str | Responder, ...], options: ScriptOptions) -> Script | ComputedScript:
    """Return the script to queue."""
    check_names(options)
    if not steps:
        raise ScriptError('respond() has nothing to play: give it text or other steps, or "" for an empty answer')
    if any(computes(step) for step in steps):
        return ComputedScript(*steps, **options)
    return script_of(steps, options)  # type: ignore[arg-type] # none computes anything


class Scripted:
    """A door, as its test sees it: takes scripts, and keeps a record of the requests."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook

    @lists_options
    def respond(self, *steps: Step | Script | str | Responder, **options: Unpack[ScriptOptions]) -> None:
        r"""Queue one script: the next request that it is meant for gets it as the answer.

        One ``Script`` alone is queued with its own settings; those given here win.

        Args:
            *steps: what the stream plays, in order. Content: a ``str`` or ``Text``, ``Reasoning``, ``Refusal``,
                ``ToolCall``, ``Interleave``, ``Together``, ``ServerTool``, ``Citation``, ``Image``, ``Frame``; time:
                ``Wait``, ``Gate``, ``KeepAlive``, ``End``; faults: ``Truncate``, ``Disconnect``, ``Stall``,
                ``Malformed``, ``ErrorEvent``, ``Failed``, ``HTTPError``. Another ``Script`` stands for its steps. A
                function, sync or async, gets the ``Request`` and stands for what it returns or yields: text, a step, a
                list of them. It is called for each request that the script answers, and has ended before the first
                chunk is sent.
            delay: seconds before each chunk of content (or ``"50ms"``, ``"1.5s"``, ``"2m"``); None leaves it to the
                client or the settings of the test, in the end 0.
            ttft: seconds before the first chunk of content (time to first token); None makes it ``delay``.
            jitter: the largest random change of each ``delay``, plus or minus, in seconds.
            seed: the seed of all that is random in the script; the same seed gives the same stream.
            tokens_per_second: the inverse of ``delay``, to be given instead of it; one chunk counts as one token.
            gaps: seconds before each chunk, one by one (or ``"50ms"``): those of a recording. ``delay`` and the like
                are for the chunks after them.
            chunking: how text is cut into chunks: ``"word"``, ``"char"``, a number of characters, or a callable that
                takes the text and returns its parts.
            finish_reason: why the model stops; by default ``"stop"``, or ``"tool_calls"`` if the script calls a tool.
            usage: the tokens used; by default the words of the prompt and the number of chunks.
            times: how many requests the script answers; None for any number.
            fragment: the HTTP body comes in pieces of one ``"byte"``, of this many bytes, or of ``"random"`` lengths.
            line_ending: the line ending of the HTTP body: ``"\n"`` or ``"\r\n"``.
            between: what comes between the frames of the HTTP body: a ``"comment"`` or a ``"ping"``.
            duplicate: each n-th frame of the HTTP body comes twice.
            headers: headers of the HTTP answer, such as rate limits or a request id; they replace what it has anyway.

        Raises:
            ScriptError: something in it cannot be played, or it comes after a request that it was meant for. What a
                function returns is checked when it has returned it, and then fails the test.
            TypeError: there is no such keyword.
        """
        self._check_reach()
        When(self._playbook, Condition()).respond(*steps, **options)

    def inject(self, *injected: RateLimit | Chaos) -> None:
        """Let trouble last for the rest of the test, whatever the scripts say.

        Args:
            *injected: ``RateLimit(rpm=3)`` refuses who asks too often, ``Chaos(rate=0.2, seed=7)`` breaks streams at
                random.

        Raises:
            ScriptError: there is nothing to inject, or something that cannot be.
        """
        self._check_reach()
        self._playbook.injected += injections(injected)

    def load(self, path: str | os.PathLike[str], *, speed: float = 0.0) -> None:
        """Queue the scripts of a file: a recording, or the TOML that ``python -m pytest_mockstream serve`` plays.

        A script of a file answers any number of requests and may be left over, unless it says ``times``: then it has to
        be played as often. Pacing above the scripts is for those that say nothing themselves, and ``default_text`` is
        the answer to every request if the file has no scripts.

        Args:
            path: the file; one that is not absolute is looked for in the folder of the file that calls this.
            speed: plays the gaps of a recording so many times as fast as they were; 0 leaves them out.

        Raises:
            ScriptError: there is no such file, or it has mistakes: all are told, with file, line and key. Or it comes
                after a request that it was meant for.
        """
        self._check_reach()
        site = calling_site()
        speed = speed and rate(speed, "speed")
        try:
            found = Path(site.filename).parent / path
        except TypeError:
            raise ScriptError(f"load({brief(path)}): give the path of a file, such as 'replies.toml'") from None
        try:
            content = ScriptSource(
                found, providers=self._playbook.providers, wrong_path=self._playbook.wrong_path
            ).read()
        except UnreadableError as error:
            raise ScriptError(f"load({brief(str(path))}), called at {site}, finds nothing to read: {error}") from None
        scripts, lines, notes = content.scripts, content.lines, content.notes
        if not scripts and content.default_text is not None:
            scripts, lines, notes = ((default_script(content.default_text), Condition()),), (1,), (Notes(),)
        for (loaded, condition), line, note in zip(scripts, lines, notes, strict=True):
            script = loaded
            if isinstance(script, Script):
                script = at_speed(script, speed, gaps=note.gaps, ended=note.ended)
            said_at = CallSite(str(found), line, "")
            self._playbook.queue(
                script, condition, site=said_at, is_optional=script.times is None or note.key is not None
            )

    @keywords.lists(ConditionOptions, dict.fromkeys(_CONDITIONS))
    def when(
        self,
        *unnamed: Never,
        **conditions: Unpack[ConditionOptions],
    ) -> When:
        """Choose the requests that a script is for: ``when(contains="weather").respond(...)``.

        A request must meet all the conditions that are given.

        Args:
            *unnamed: nothing: every condition is named.
            contains: the user's last message contains this text.
            matches: this regular expression is found in the user's last message. One that backtracks without end stops
                the whole process, the server included: Python's ``re`` lets no other thread run meanwhile.
            model: the model that is asked for, exactly.
            provider: the provider that is asked, such as ``"openai"``.
            tool: the request offers a tool of this name.
            tool_result_contains: the result of a tool that ran since the model's last turn contains this text.
            turn: this turn of the model is asked for; its first answer in a conversation is turn 1.
            system: a message of the system, or the developer, contains this text.
            schema: the answer has to fit a schema of this name, or of this title (structured output, or the one tool
                whose call is forced).
            header: the request has this header, as ``"name: value"``, or ``"name"`` for any value; or several, as a
                mapping.
            test: the id of the running test is this, or matches this pattern (``fnmatch``, as in ``"*::test_chat*"``):
                for scripts that several tests share.
            path: the URL's path ends with this, in whole parts; ``*`` stands for any text in a part, and a method may
                come first: ``"GET /files/*"``. Endpoints that need no script, such as embeddings, are answered from
                scripts for their path only; what such a script says is then the body:
                ``when(path="/embeddings").respond('{"data": ...}')``.
            predicate: a function that takes the ``Request`` and returns whether the script is for it.

        Raises:
            ScriptError: a condition is not legal, no request can meet it, or there is none.
            TypeError: there is no such keyword.
        """
        self._check_reach()
        if unnamed:
            raise ScriptError(f"when({brief(unnamed[0])}) does not say what to look at: {_unnamed(unnamed[0])}")
        keywords.check_names(conditions, _CONDITIONS)
        condition = Condition(**conditions)
        if condition == Condition():
            raise ScriptError(f"when() narrows nothing: give one of {_CONDITIONS_LISTED}, or call respond(...) alone")
        self._playbook.promise(condition, calling_site())
        return When(self._playbook, condition)

    def _check_reach(self) -> None:
        """Raise ``ScriptError`` if no request can come to this door as it is."""

    def verify(self, *, unused: Literal["error", "allow"] = "error") -> None:
        """Raise the errors that the code under test may have swallowed; the fixture calls it at the end of the test.

        Processes that were forked meanwhile have asked copies of this object: a ``RuntimeWarning`` says so, and as
        nobody knows what they have played, no script counts as unused.

        Args:
            unused: ``"allow"`` if scripts may be left over.

        Raises:
            UnexpectedRequestError: a request came that no script was left for.
            UnusedScriptError: a script was not played as often as it should have been, or a ``when`` has no
                ``respond``.
        """
        if self._playbook.asked_after_fork:
            warnings.warn(_FORKED.format(name=self._playbook.name), RuntimeWarning, stacklevel=2)
            unused = "allow"
        self._playbook.verify(unused=unused)

    def findings(self, returned: object = NOTHING, *, wrote: str = "", max_tries: int = MOST_TRIES) -> list[Finding]:
        """Return what is wrong with how the code under test coped with failures, by name.

        Always judged: ``ignores_retry_after`` (it asked again before ``Retry-After`` was over), ``retries_permanent``
        (it asked again unchanged what had failed with 400, 401, 403, 404 or 422) and ``storm`` (too many tries, or
        pauses that do not grow). Judged where ``returned`` says what came of it: ``repeats_delivered`` (the part that
        was delivered before a stream broke is there twice), ``loses_delivered`` (it is gone, without an error),
        ``takes_truncated_for_whole`` (a stream without its end passes for an answer) and ``hides_failure`` (every try
        failed, and it passes for an answer).

        Args:
            returned: what the code returned or showed: a text, a list of what it yielded, an object with texts in it,
                or the exception that it raised.
            wrote: what it printed; looked at for ``repeats_delivered``.
            max_tries: how many tries of the same are no storm.

        Raises:
            ScriptError: ``max_tries`` is no int > 0.
        """
        most = _at_least_one(max_tries, "max_tries")
        error = returned if isinstance(returned, BaseException) else None
        outcome = Outcome(NOTHING if error is not None else returned, wrote, error)
        self._playbook.catch_up()
        return findings_of(self.requests[:], outcome, most_tries=most)

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order, each with what became of it."""
        return self._playbook.requests
