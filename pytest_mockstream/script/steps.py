"""The steps of a script: those with content, and here time and faults; frozen values, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Literal, TypeAlias, TypeVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration
from pytest_mockstream._base.redaction import brief

from .combined import Interleave, Together
from .content import CONTENT, EXTRAS, Content
from .deltas import Chunking, cut
from .gate import Gate
from .headers import headers_of
from .items import Citation, Frame, Image, ServerTool
from .parts import Reasoning, Refusal, Text, ToolCall

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

__all__ = [
    "CONTENT",
    "EXTRAS",
    "FAULTS",
    "STEPS",
    "Chunking",
    "Citation",
    "Content",
    "Disconnect",
    "End",
    "ErrorEvent",
    "Failed",
    "Fault",
    "Frame",
    "HTTPError",
    "Image",
    "Interleave",
    "KeepAlive",
    "Malformed",
    "Played",
    "Reasoning",
    "Refusal",
    "ServerTool",
    "Stall",
    "Step",
    "Text",
    "Together",
    "ToolCall",
    "Truncate",
    "Wait",
    "cut",
    "is_end",
]


@dataclass(frozen=True, slots=True, init=False)
class Wait:
    """Nothing comes for some time, in addition to the script's pacing.

    Args:
        seconds: how long: a number of seconds, or text such as ``"50ms"``, ``"1.5s"``, ``"2m"``, ``"10h"``.

    Raises:
        ScriptError: it is negative, not finite or not a duration.
    """

    seconds: float

    def __init__(self, seconds: float | str) -> None:
        object.__setattr__(self, "seconds", duration(seconds, "Wait()"))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A frame without content, which keeps the connection open; a correct reader skips it.

    It is the provider's own ping where it has one, else a comment
    (https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes).
    """


@dataclass(frozen=True, slots=True)
class End:
    """The last chunk comes here, although the body stays open: for what real servers send or do after it.

    After it may come ``Wait``, ``Gate``, ``Stall``, ``KeepAlive``, ``Malformed``, ``Disconnect``, and ``Frame``, which
    does not count as a chunk there, such as a second ``"[DONE]"``. The reader of the default client is at the end with
    the last chunk.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """The response ends without an error, but too early: the last chunk, with the finish reason, never comes.

    Every SDK takes that for success. To the reader of the default client it is a stream that just ends.

    Attributes:
        inside_frame: whether half of one more frame comes before the end. The default client has no frames and ignores
            it.

    Raises:
        ScriptError: ``inside_frame`` is not a bool.
    """

    inside_frame: bool = False

    def __post_init__(self) -> None:
        _check_flag("Truncate", "inside_frame", self.inside_frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The connection breaks; the reader of the default client gets ``StreamDisconnected``.

    As the first step, it breaks before the status and the headers are sent, so that clients that retry will retry.

    Attributes:
        how: ``"reset"`` resets the TCP connection (RST, RFC 9293 section 3.5.2); ``"cut"`` closes it properly, but
            before the end of the HTTP body (RFC 9112 section 8).
        inside_frame: whether half of one more frame comes before the break. The default client has no frames and
            ignores it.

    Raises:
        ScriptError: a value is not legal.
    """

    how: Literal["reset", "cut"] = "reset"
    inside_frame: bool = False

    def __post_init__(self) -> None:
        if self.how not in {"reset", "cut"}:
            msg = f"Disconnect(how={brief(self.how)}) is not known: give 'reset' or 'cut'"
            raise ScriptError(msg)
        _check_flag("Disconnect", "inside_frame", self.inside_frame)


def _check_flag(step: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        msg = f"{step}({name}={brief(value)}): give True or False"
        raise ScriptError(msg)


@dataclass(frozen=True, slots=True, init=False)
class Stall:
    """The stream falls silent, with its connection open: what read timeouts are for.

    Args:
        seconds: how long: seconds, or text such as ``"2m"``; None is for ever, and then nothing can come after it.

    Raises:
        ScriptError: ``seconds`` is negative, not finite or not a duration.
    """

    seconds: float | None

    def __init__(self, seconds: float | str | None = None) -> None:
        object.__setattr__(self, "seconds", None if seconds is None else duration(seconds, "Stall()"))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that cannot be parsed; the reader of the default client gets ``MalformedChunkError``.

    Attributes:
        data: what the frame contains; by default JSON that breaks off.
        framed: False sends the data as it is, without a frame around it, as a proxy sends its HTML page. The default
            client has no frames and ignores it.

    Raises:
        ScriptError: a value is not legal.
    """

    data: str = '{"choices": [{'
    framed: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            msg = f"Malformed({brief(self.data)}): give the garbage as a str"
            raise ScriptError(msg)
        _check_flag("Malformed", "framed", self.framed)


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The provider reports an error inside a stream that has already begun, with status 200; the stream ends there.

    The reader of the default client gets ``ProviderError``. Each wire format has its own shape for it. Where the reply
    is not streamed, it is an HTTP error with the status that belongs to its type or code.

    Attributes:
        message: what the provider says.
        type: the provider's name for the kind of error, such as ``"overloaded_error"``; by default the format's usual
            one, or the one that belongs to ``code``.
        code: OpenAI's finer word, such as ``"insufficient_quota"``; by default the one that belongs to ``type``
            (https://platform.openai.com/docs/guides/error-codes). Other formats have none.

    Raises:
        ScriptError: a value is not a str.
    """

    message: str = "The server had an error while processing your request"
    type: str | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_words(self, "message", "type", "code")


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply itself says that it failed: the last event of a response of OpenAI's, which raises nothing in the SDK.

    In OpenAI's responses that is ``response.failed`` with an ``error``, or ``response.incomplete``; where the reply is
    not streamed, the ``status`` of the body, with HTTP status 200
    (https://platform.openai.com/docs/api-reference/responses-streaming/response/failed). Other formats have no such
    thing: there use ``ErrorEvent``. The reader of the default client gets ``ProviderError``.

    Attributes:
        message: what the provider says.
        code: the provider's word for what went wrong; by default ``"server_error"``.
        incomplete: why the reply breaks off, ``"max_output_tokens"`` or ``"content_filter"``; then it did not fail, and
            says no message and no code. ``finish_reason="length"`` says the same of a script that is whole.

    Raises:
        ScriptError: a value is not legal.
    """

    message: str = "The model had an error while generating the response"
    code: str | None = field(default=None, kw_only=True)
    incomplete: Literal["max_output_tokens", "content_filter"] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_words(self, "message", "code")
        if self.incomplete not in {None, "max_output_tokens", "content_filter"}:
            msg = f"Failed(incomplete={brief(self.incomplete)}): give 'max_output_tokens' or 'content_filter', or None"
            raise ScriptError(msg)
        if self.incomplete is not None and self.code is not None:
            msg = (
                f"Failed(code={brief(self.code)}, incomplete={self.incomplete!r}): a reply that breaks off has no code"
            )
            raise ScriptError(f"{msg}; give one of them")


def _check_words(step: ErrorEvent | Failed | HTTPError, *names: str) -> None:
    for name in names:
        value = getattr(step, name)
        if not isinstance(value, str) and not (value is None and name != "message"):
            raise ScriptError(f"{type(step).__name__}({name}={brief(value)}): give a str")


@dataclass(frozen=True, slots=True)
class HTTPError:
    """The provider answers with an HTTP error instead of a stream; only ``Wait`` and ``Gate`` may come before it.

    The reader of the default client gets ``ProviderError``. The body is in the shape of the provider's errors.

    Attributes:
        status: the status code, 400 to 599.
        type: the provider's name for the kind of error, such as ``"insufficient_quota"``; by default the usual one for
            the status, or the one that belongs to ``code``.
        code: OpenAI's finer word; by default the one that belongs to ``type``, or the usual one for the status
            (https://platform.openai.com/docs/guides/error-codes). Other formats have none.
        headers: further headers of the answer, such as rate limits; they replace those that it has anyway.
        retry_after: for the ``Retry-After`` header (RFC 9110 section 10.2.3): seconds, as a number or as text such as
            ``"2s"``; or an HTTP date, as a ``datetime`` with a time zone or as its text. None is no such header.
        message: what the body says.

    Raises:
        ScriptError: a value is not legal.
    """

    status: int
    type: str | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] | None = field(default=None, kw_only=True, hash=False)  # a dict has no hash
    retry_after: float | str | datetime | None = field(default=None, kw_only=True)
    message: str = field(default="The request failed", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.status, bool) or not isinstance(self.status, int) or not 400 <= self.status <= 599:
            msg = f"HTTPError({brief(self.status)}) is not an error status: give an int from 400 to 599"
            raise ScriptError(msg)
        _check_words(self, "message", "type", "code")
        if self.headers is not None:
            object.__setattr__(self, "headers", dict(headers_of(self.headers)))
        if self.retry_after is not None:
            object.__setattr__(self, "retry_after", _retry_after(self.retry_after))
            if "retry-after" in (self.headers or ()):
                raise ScriptError("HTTPError(headers={'retry-after': ...}, retry_after=...): give one of them")

    @property
    def http_headers(self) -> dict[str, str]:
        """The headers that it adds to those of every answer."""
        after = self.retry_after
        said = {} if after is None else {"retry-after": f"{after:g}" if isinstance(after, float) else str(after)}
        return {**(self.headers or {}), **said}

    @property
    def is_rate_limit(self) -> bool:
        """Whether it says that somebody asks too often: a quota that is to be paid for has the same status."""
        return self.status == 429 and not {self.type, self.code} & {"insufficient_quota", "billing_not_active"}

    def seconds_to_wait(self) -> float | None:
        """Return how many seconds from now the provider asks to wait; None if it does not say."""
        return seconds_to_wait(self.http_headers)


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds from now an answer asks to wait; None if it does not say, or not so that one can read it.

    ``retry-after-ms`` is OpenAI's own and finer; who knows it prefers it. ``retry-after`` is a number of seconds or an
    HTTP date (RFC 9110 section 10.2.3).
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return seconds if isfinite(seconds) else None
    date = _date_of(headers.get("retry-after", ""))
    return None if date is None else max(0.0, (date - datetime.now(UTC)).total_seconds())


def _retry_after(value: object) -> float | str:
    """Return seconds, or the text of a date."""
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            from email.utils import format_datetime  # loaded only where there is a date

            return format_datetime(value.astimezone(UTC), usegmt=True)
        raise ScriptError(f"retry_after={brief(value)} has no time zone: give datetime.now(UTC) + timedelta(seconds=2)")
    try:
        return duration(value, "retry_after")
    except ScriptError as error:
        if isinstance(value, str) and _date_of(value) is not None:
            return value
        raise ScriptError(f"{error}; or a date, as a datetime or as in 'Sun, 06 Nov 1994 08:49:37 GMT'") from None


def _date_of(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)  # as of a zone that is not told, "-0000"


Fault: TypeAlias = Truncate | Disconnect | Stall | Malformed | ErrorEvent | Failed | HTTPError
Step: TypeAlias = Content | Wait | Gate | KeepAlive | End | Fault

FAULTS = (Truncate, Disconnect, Stall, Malformed, ErrorEvent, Failed, HTTPError)
STEPS = (*CONTENT, Wait, Gate, KeepAlive, End, *FAULTS)
_ENDS = (Truncate, Disconnect, ErrorEvent, Failed, HTTPError)

T = TypeVar("T")
#: What a schedule consists of: units of output (chunks, or frames of bytes), and the steps that are not output.
Played: TypeAlias = "T | Wait | Gate | KeepAlive | Frame | Fault"


def is_end(step: Step) -> bool:
    """Tell whether a step ends the stream, so that nothing can come after it."""
    return isinstance(step, _ENDS) or (isinstance(step, Stall) and step.seconds is None)
