"""Writes the messages of AWS's binary event stream (``application/vnd.amazon.eventstream``).

It knows no service. Encoding: https://smithy.io/2.0/aws/amazon-eventstream.html. A message is its length, the length of
its headers, a CRC of these two, the headers, a payload, and a CRC of everything before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Literal, TypeAlias
from zlib import crc32

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: An event, an error that the service's model knows, and one that it does not know.
MessageType: TypeAlias = Literal["event", "exception", "error"]

_PRELUDE = Struct("!II")
_CRC = Struct("!I")
_AROUND = 16  # bytes of a message besides its headers and its payload
_STRING = 7  # the type of a header's value
_VALUE_LENGTH = Struct("!H")
#: The longest value of a header, in bytes.
_LONGEST_VALUE = 2**15 - 1


def message(kind: MessageType, name: str, payload: bytes, *, valid: bool = True) -> bytes:
    """Return one message.

    Args:
        kind: what it is; an ``"error"`` has its text in the headers and no payload.
        name: the type of the event or the exception, or the code of the error.
        payload: JSON; of an ``"error"``, its text.
        valid: False makes the CRC of the message wrong.
    """
    headers = _error(name, payload) if kind == "error" else _typed(kind, name)
    payload = b"" if kind == "error" else payload
    prelude = _PRELUDE.pack(_AROUND + len(headers) + len(payload), len(headers))
    checked = b"".join((prelude, _CRC.pack(crc32(prelude)), headers, payload))
    return checked + _CRC.pack(crc32(checked) ^ (not valid))


@lru_cache(maxsize=64)
def _typed(kind: MessageType, name: str) -> bytes:
    content = {":content-type": b"application/json"}
    return _headers({f":{kind}-type": name.encode(errors="replace"), **content, ":message-type": kind.encode()})


def _error(code: str, text: bytes) -> bytes:
    told = {":error-code": code.encode(errors="replace"), ":error-message": text}
    return _headers(told | {":message-type": b"error"})


def _headers(values: Mapping[str, bytes]) -> bytes:
    written = bytearray()
    for name, given in values.items():
        value = given if len(given) <= _LONGEST_VALUE else given[:_LONGEST_VALUE].decode(errors="ignore").encode()
        written += bytes((len(name),)) + name.encode() + bytes((_STRING,)) + _VALUE_LENGTH.pack(len(value)) + value
    return bytes(written)
