"""Bytes: framing, frames, and one module for each wire format.

Pure functions from requests to what they ask, and from steps of chunks to steps of bytes.
"""

from __future__ import annotations

from .endpoints import ENDPOINTS, endpoints_at
from .errors import ERRORS
from .format import Ask, BadRequestError, Encoder, Reply, WireFormat, ping
from .frames import Frame, shaped, torn
from .hosts import HOSTS, provider_of
from .plain import PlainEndpoint, Question
from .sse import CONTENT_TYPES, Framing, Writer, json_text

__all__ = [
    "CONTENT_TYPES",
    "ENDPOINTS",
    "ERRORS",
    "HOSTS",
    "Ask",
    "BadRequestError",
    "Encoder",
    "Frame",
    "Framing",
    "PlainEndpoint",
    "Question",
    "Reply",
    "WireFormat",
    "Writer",
    "endpoints_at",
    "json_text",
    "ping",
    "provider_of",
    "shaped",
    "torn",
]
