"""Bytes: what providers' requests mean, and how their replies are written; one module for each wire format.

Everything here is pure: no clock, no input or output. A script's steps go in, with chunks; steps come out, with bytes.
"""

from __future__ import annotations

from .endpoints import ENDPOINTS, endpoints_at
from .errors import ERRORS
from .format import BadRequestError, Encoder, ParsedRequest, Reply, WireFormat, ping
from .frames import Frame, shaped, torn
from .hosts import HOSTS, provider_of
from .plain import PlainEndpoint
from .sse import CONTENT_TYPES, Framing, Writer, json_text

__all__ = [
    "CONTENT_TYPES",
    "ENDPOINTS",
    "ERRORS",
    "HOSTS",
    "BadRequestError",
    "Encoder",
    "Frame",
    "Framing",
    "ParsedRequest",
    "PlainEndpoint",
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
