"""Checks the headers that a script gives to its HTTP answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: They delimit the body, or say how it is encoded, or belong to the connection: RFC 9110 sections 7.6.1 and 8.4,
#: RFC 9112 section 6.
_OURS = frozenset(
    {
        *("connection", "content-encoding", "content-length", "keep-alive", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"(?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?")  # section 5.5


def headers_of(value: object) -> Mapping[str, str]:
    """Return headers, their names in lower case; none for None.

    Raises:
        ScriptError: it is no mapping, a name or a value cannot be sent, or the header is the server's own to send.
    """
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, Mapping):
        msg = f"headers={brief(value)}: give a mapping, such as {{'x-ratelimit-remaining-requests': '0'}}"
        raise ScriptError(msg)
    return MappingProxyType({_name(name): _value(name, text) for name, text in value.items()})


def _name(name: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name.lower()) is None:
        msg = f"headers={{{brief(name)}: ...}}: give the name of a header, such as 'x-request-id'"
        raise ScriptError(msg)
    if name.lower() in _OURS:
        msg = (
            f"headers={{{brief(name)}: ...}}: it says where the body ends or how it is sent, which depends on the door"
        )
        raise ScriptError(f"{msg}; leave it out, and break a body with Disconnect() or Truncate()")
    return name.lower()


def _value(name: str, value: object) -> str:
    if not isinstance(value, str) or _VALUE.fullmatch(value) is None:
        msg = f"headers={{{brief(name)}: {brief(value)}}}: give a str of one line, in Latin-1, without space around it"
        raise ScriptError(msg)
    return value
