"""Bytes: what providers' requests mean, and how their replies are written; one module for each wire format.

Everything here is pure: no clock, no input or output. A script's steps go in, with chunks; steps come out, with bytes.
"""

from __future__ import annotations

from .decoding import Decoder, Decoding, Finish, Heard, Kind, Piece
from .dialect import Dialect
from .dialects import DIALECTS, base_of, headers_of, provider_asked
from .endpoints import ENDPOINTS, Found, endpoints_at, is_path
from .errors import ERRORS
from .format import BadRequestError, Encoder, ParsedRequest, Reply, WireFormat, ping
from .frames import WireFrame, shaped, torn
from .headers import Head, own_headers
from .hosts import HOSTS, VARIABLES, Variables, is_address, is_listed, is_loopback, keys_of, provider_of
from .multipart import File, read_form
from .plain import DeclinedError, Kept, PlainEndpoint, PlainRequest, Recalled, Resumed, Told, told_json
from .rate_limits import rate_limit_headers
from .reading import json_object
from .sse import CONTENT_TYPES, Event, Framing, Writer, json_text
from .unframed import Comment, FrameReader, Unframed, Unreadable
from .uploads import UPLOADS, Upload, upload_to

__all__ = [
    "CONTENT_TYPES",
    "DIALECTS",
    "ENDPOINTS",
    "ERRORS",
    "HOSTS",
    "UPLOADS",
    "VARIABLES",
    "BadRequestError",
    "Comment",
    "DeclinedError",
    "Decoder",
    "Decoding",
    "Dialect",
    "Encoder",
    "Event",
    "File",
    "Finish",
    "Found",
    "FrameReader",
    "Framing",
    "Head",
    "Heard",
    "Kept",
    "Kind",
    "ParsedRequest",
    "Piece",
    "PlainEndpoint",
    "PlainRequest",
    "Recalled",
    "Reply",
    "Resumed",
    "Told",
    "Unframed",
    "Unreadable",
    "Upload",
    "Variables",
    "WireFormat",
    "WireFrame",
    "Writer",
    "base_of",
    "endpoints_at",
    "headers_of",
    "is_address",
    "is_listed",
    "is_loopback",
    "is_path",
    "json_object",
    "json_text",
    "keys_of",
    "own_headers",
    "ping",
    "provider_asked",
    "provider_of",
    "rate_limit_headers",
    "read_form",
    "shaped",
    "told_json",
    "torn",
    "upload_to",
]
