"""Every error that the package raises on purpose.

The wall: this module imports nothing. Errors carry their data as attributes, so that nobody has to parse a message.
Each leaf also inherits the builtin that a caller would catch without knowing this package.
"""

from __future__ import annotations


class MockStreamError(Exception):
    """The base of all errors of this package."""

    __module__ = "pytest_mockstream"  # where users import it from, and what a traceback should say

    def __init_subclass__(cls) -> None:
        cls.__module__ = MockStreamError.__module__


class ScriptError(MockStreamError, ValueError):
    """A script, a setting or a call that cannot mean anything, found at the earliest moment."""


class UnexpectedRequestError(MockStreamError, AssertionError):
    """The code under test asked for a stream that nothing was scripted for."""


class UnusedScriptError(MockStreamError, AssertionError):
    """A script was queued and never asked for."""


class LeakError(MockStreamError, AssertionError):
    """Something that a test or a block started is still running after it.

    Attributes:
        report: the ``LeakReport``.
    """

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class SweepError(MockStreamError, AssertionError):
    """A sweep found places where the code under test cannot be cancelled, or where its stream cannot break.

    Attributes:
        result: the ``SweepResult``, with every place.
    """

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result = result


class StreamCancelled(MockStreamError):
    """The stream was cancelled by ``cancel()``; what had arrived before was still delivered."""


class StreamTimeout(StreamCancelled, TimeoutError):
    """The ``timeout=`` that the stream was opened with ran out."""


class StreamDisconnected(MockStreamError, ConnectionError):
    """A scripted ``Disconnect`` cut the stream."""


class MalformedChunkError(MockStreamError, ValueError):
    """A scripted ``Malformed`` frame; as a real client's parser, it cannot go on from here.

    Attributes:
        data: the garbage as scripted.
    """

    def __init__(self, data: str) -> None:
        super().__init__(f"the stream sent a frame that is not valid: {data!r}")
        self.data = data


class ProviderError(MockStreamError):
    """The provider answered with an error, before the stream (``HTTPError``) or in it (``ErrorEvent``).

    Attributes:
        status: the HTTP status; 200 for an error inside a stream that had already begun.
        retry_after: seconds the provider asks to wait, or None.
        type: the provider's word for the kind of error, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        retry_after: float | None = None,
        type: str | None = None,  # noqa: A002 - every provider's own word
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.type = type


class UnclosedStreamWarning(ResourceWarning):
    """A stream was never closed: its finaliser ended it, or the stop of its server; a real one would have gone on."""

    __module__ = MockStreamError.__module__


class SweepWarning(UserWarning):
    """A sweep could not reach every place: the code under test does not run the same way each time."""

    __module__ = MockStreamError.__module__
