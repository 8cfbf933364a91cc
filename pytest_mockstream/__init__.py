"""Leak-free fake LLM streams for pytest.

This module is the one place that users import from; everything else is private. Names are loaded when they are first
asked for: pytest imports this package at every start, in projects and runs that never touch a stream, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._base.errors import (
        DeadlockError,
        LeakError,
        MalformedChunkError,
        MockStreamError,
        ProviderError,
        RecordingError,
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
    from .doors.client import MockStream, MockStreamClient
    from .doors.in_process import MockStreamSDK
    from .doors.server import MockStreamServer as MockStreamServer  # not in __all__: it needs an extra
    from .leaks import Leak, LeakReport, leak_check
    from .playbook.answers import CallTools, Echo, FromSchema, Json, Template
    from .playbook.bad_calls import BadToolCall
    from .playbook.findings import Finding
    from .playbook.injected import Chaos, RateLimit
    from .playbook.request import Request
    from .recordings import Recording
    from .script.chunks import (
        CompletedToolCall,
        Completion,
        StreamChunk,
        ToolCallDelta,
        Usage,
    )
    from .script.gate import Gate
    from .script.script import Script
    from .script.steps import (
        Citation,
        Disconnect,
        End,
        ErrorEvent,
        Failed,
        Frame,
        HTTPError,
        Image,
        Interleave,
        KeepAlive,
        Malformed,
        Reasoning,
        Refusal,
        ServerTool,
        Stall,
        Text,
        Together,
        ToolCall,
        Truncate,
        Wait,
    )
    from .sweep import OrdersResult, SweepResult, sweep_cancellation, sweep_faults, sweep_orders, sweep_threads

__all__ = [
    "BadToolCall",
    "CallTools",
    "Chaos",
    "Citation",
    "CompletedToolCall",
    "Completion",
    "DeadlockError",
    "Disconnect",
    "Echo",
    "End",
    "ErrorEvent",
    "Failed",
    "Finding",
    "Frame",
    "FromSchema",
    "Gate",
    "HTTPError",
    "Image",
    "Interleave",
    "Json",
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
    "OrdersResult",
    "ProviderError",
    "RateLimit",
    "Reasoning",
    "Recording",
    "RecordingError",
    "Refusal",
    "Request",
    "Script",
    "ScriptError",
    "ServerTool",
    "Stall",
    "StreamCancelled",
    "StreamChunk",
    "StreamDisconnected",
    "StreamTimeout",
    "SweepError",
    "SweepResult",
    "SweepWarning",
    "Template",
    "Text",
    "Together",
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
    "sweep_orders",
    "sweep_threads",
]

_HOMES = {
    "script.chunks": "CompletedToolCall Completion StreamChunk ToolCallDelta Usage",
    "doors.client": "MockStream MockStreamClient",
    "_base.errors": "DeadlockError LeakError MalformedChunkError MockStreamError ProviderError RecordingError"
    " ScriptError StreamCancelled StreamDisconnected StreamTimeout SweepError SweepWarning"
    " UnclosedStreamWarning UnexpectedRequestError UnusedScriptError",
    "script.gate": "Gate",
    "playbook.answers": "CallTools Echo FromSchema Json Template",
    "playbook.bad_calls": "BadToolCall",
    "playbook.findings": "Finding",
    "playbook.injected": "Chaos RateLimit",
    "playbook.request": "Request",
    "recordings": "Recording",
    "script.script": "Script",
    "script.steps": "Citation Disconnect End ErrorEvent Failed Frame HTTPError Image Interleave KeepAlive Malformed"
    " Reasoning Refusal ServerTool Stall Text Together ToolCall Truncate Wait",
    "doors.in_process": "MockStreamSDK",
    "doors.server": "MockStreamServer",
    "sweep": "OrdersResult SweepResult sweep_cancellation sweep_faults sweep_orders sweep_threads",
    "leaks": "Leak LeakReport leak_check",
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names.split():
            value: object = getattr(import_module(f".{home}", __name__), name)
            globals()[name] = value
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
