"""Leak-free fake LLM streams for pytest.

This module is the one place that users import from; everything else is private. Names are loaded when they are first
asked for: pytest imports this package at every start, in projects and runs that never touch a stream, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._chunks import (
        CompletedToolCall,
        Completion,
        StreamChunk,
        ToolCallDelta,
        Usage,
    )
    from ._client import MockStreamClient
    from ._exceptions import (
        LeakError,
        MalformedChunkError,
        MockStreamError,
        ProviderError,
        ScriptError,
        StreamCancelled,
        StreamDisconnected,
        StreamTimeout,
        SweepError,
        SweepWarning,
        UnclosedStreamWarning,
        UnexpectedRequestError,
        UnusedScriptError,
    )
    from ._gate import Gate
    from ._ledger import Request
    from ._script import Script
    from ._sdk import MockStreamSDK
    from ._server import MockStreamServer as MockStreamServer  # not in __all__: it needs an extra
    from ._steps import (
        Disconnect,
        ErrorEvent,
        HTTPError,
        KeepAlive,
        Malformed,
        Reasoning,
        Refusal,
        Stall,
        Text,
        ToolCall,
        Truncate,
        Wait,
    )
    from ._stream import MockStream
    from ._sweep import SweepResult, sweep_cancellation, sweep_faults, sweep_threads
    from .leaks import Leak, LeakReport, leak_check

__all__ = [
    "CompletedToolCall",
    "Completion",
    "Disconnect",
    "ErrorEvent",
    "Gate",
    "HTTPError",
    "KeepAlive",
    "Leak",
    "LeakError",
    "LeakReport",
    "Malformed",
    "MalformedChunkError",
    "MockStream",
    "MockStreamClient",
    "MockStreamError",
    "MockStreamSDK",
    "ProviderError",
    "Reasoning",
    "Refusal",
    "Request",
    "Script",
    "ScriptError",
    "Stall",
    "StreamCancelled",
    "StreamChunk",
    "StreamDisconnected",
    "StreamTimeout",
    "SweepError",
    "SweepResult",
    "SweepWarning",
    "Text",
    "ToolCall",
    "ToolCallDelta",
    "Truncate",
    "UnclosedStreamWarning",
    "UnexpectedRequestError",
    "UnusedScriptError",
    "Usage",
    "Wait",
    "leak_check",
    "sweep_cancellation",
    "sweep_faults",
    "sweep_threads",
]

_HOMES = {
    "_chunks": ("CompletedToolCall", "Completion", "StreamChunk", "ToolCallDelta", "Usage"),
    "_client": ("MockStreamClient",),
    "_exceptions": (
        "LeakError",
        "MalformedChunkError",
        "MockStreamError",
        "ProviderError",
        "ScriptError",
        "StreamCancelled",
        "StreamDisconnected",
        "StreamTimeout",
        "SweepError",
        "SweepWarning",
        "UnclosedStreamWarning",
        "UnexpectedRequestError",
        "UnusedScriptError",
    ),
    "_gate": ("Gate",),
    "_ledger": ("Request",),
    "_script": ("Script",),
    "_steps": (
        "Disconnect",
        "ErrorEvent",
        "HTTPError",
        "KeepAlive",
        "Malformed",
        "Reasoning",
        "Refusal",
        "Stall",
        "Text",
        "ToolCall",
        "Truncate",
        "Wait",
    ),
    "_sdk": ("MockStreamSDK",),
    "_server": ("MockStreamServer",),
    "_stream": ("MockStream",),
    "_sweep": ("SweepResult", "sweep_cancellation", "sweep_faults", "sweep_threads"),
    "leaks": ("Leak", "LeakReport", "leak_check"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value: object = getattr(import_module(f".{home}", __name__), name)
            globals()[name] = value
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
