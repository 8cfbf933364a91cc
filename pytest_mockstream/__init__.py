"""Leak-free fake LLM streams for pytest.

This module is the one place that users import from; everything else is private.
"""

from ._chunks import CompletedToolCall, Completion, StreamChunk, ToolCallDelta, Usage
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
    UnclosedStreamWarning,
    UnexpectedRequestError,
    UnusedScriptError,
)
from ._gate import Gate
from ._playbook import Request
from ._script import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    Stall,
    Text,
    ToolCall,
    Truncate,
    Wait,
)
from ._stream import MockStream

__all__ = [
    "CompletedToolCall",
    "Completion",
    "Disconnect",
    "ErrorEvent",
    "Gate",
    "HTTPError",
    "KeepAlive",
    "LeakError",
    "Malformed",
    "MalformedChunkError",
    "MockStream",
    "MockStreamClient",
    "MockStreamError",
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
    "Text",
    "ToolCall",
    "ToolCallDelta",
    "Truncate",
    "UnclosedStreamWarning",
    "UnexpectedRequestError",
    "UnusedScriptError",
    "Usage",
    "Wait",
]
