"""Leak-free fake LLM streams for pytest.

This module is the one place that users import from; everything else is private.
"""

from ._exceptions import (
    LeakError,
    MalformedChunkError,
    MockStreamError,
    ProviderError,
    ScriptError,
    StreamCancelled,
    StreamDisconnected,
    StreamTimeout,
    UnclosedStreamWarning,
    UnexpectedRequestError,
    UnusedScriptError,
)

__all__ = [
    "LeakError",
    "MalformedChunkError",
    "MockStreamError",
    "ProviderError",
    "ScriptError",
    "StreamCancelled",
    "StreamDisconnected",
    "StreamTimeout",
    "UnclosedStreamWarning",
    "UnexpectedRequestError",
    "UnusedScriptError",
]
