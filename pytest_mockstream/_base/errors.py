"""Every error and warning that the package raises on purpose.

Each error class also inherits the builtin that code which does not know this package would catch. What an error knows
is in its attributes, so that nobody has to parse a message.
"""

from __future__ import annotations


class MockStreamError(Exception):
    """Base class of all errors that this package raises."""

    __module__ = "pytest_mockstream"  # where users import it from, and what a traceback should say

    def __init_subclass__(cls) -> None:
        cls.__module__ = MockStreamError.__module__


class ScriptError(MockStreamError, ValueError):
    """A script, a setting or a call is wrong; raised as early as it can be known, with the value and what is legal."""


class UnexpectedRequestError(MockStreamError, AssertionError):
    """The code under test made a request that no script answers.

    It is raised to the code under test, and once more at the end of the test, in case that code swallowed it.
    """


class UnusedScriptError(MockStreamError, AssertionError):
    """A script was queued and never played, or less often than ``times`` says; raised at the end of the test."""


class RecordingError(MockStreamError, AssertionError):
    """There is no recording to play, or none can be made, or a provider says another thing than what was recorded."""


class LeakError(MockStreamError, AssertionError):
    """Something that a test or a ``leak_check`` block started is still running after it.

    Attributes:
        report: the ``LeakReport``: every leak, with where it was created and where it waits.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class SweepError(MockStreamError, AssertionError):
    """A sweep found places where the code under test does not cope with a cancellation or with a broken stream.

    Attributes:
        result: the ``SweepResult``, with every place that was tried.
    """

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class DeadlockError(MockStreamError, AssertionError):
    """Nothing can happen any more in an event loop, and what runs there is not over; the message says who waits."""


class StreamCancelled(MockStreamError):
    """The stream was cancelled with ``cancel()``; the reader got everything that had arrived before."""


class StreamTimeout(StreamCancelled, TimeoutError):
    """The stream took longer than the ``timeout=`` (seconds) that it was opened with."""


class StreamDisconnected(MockStreamError, ConnectionError):
    """The connection broke, as a ``Disconnect`` step had scripted it."""


class MalformedChunkError(MockStreamError, ValueError):
    """The stream sent a frame that cannot be parsed, as a ``Malformed`` step had scripted it; it ends there.

    Attributes:
        data: the content of the frame.
    """

    def __init__(self, data: str) -> None:
        super().__init__(f"the stream sent a frame that is not valid: {data!r}")
        self.data = data


class ProviderError(MockStreamError):
    """The provider reported an error: instead of a stream (``HTTPError``) or inside it (``ErrorEvent``, ``Failed``).

    Attributes:
        status: the HTTP status code; 200 for an error inside a stream that had already begun.
        retry_after: how many seconds the provider asks to wait before the next attempt, or None.
        type: the provider's name for the kind of error, such as ``"overloaded_error"``, or None.
        code: OpenAI's finer word, such as ``"insufficient_quota"``, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after: float | None = None,
        type: str | None = None,  # noqa: A002 - every provider's own word
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.type = type
        self.code = code


class UnclosedStreamWarning(ResourceWarning):
    """A stream was neither read to its end nor closed; a real one would have kept its connection and its model busy.

    It was ended by its finaliser, or when its server was stopped.
    """

    __module__ = MockStreamError.__module__


class SweepWarning(UserWarning):
    """A sweep did not visit every place: there are too many, or none, or the code runs another way each time."""

    __module__ = MockStreamError.__module__
