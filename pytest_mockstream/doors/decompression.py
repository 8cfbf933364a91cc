"""Decompresses a body piece by piece, each as far as it goes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Decompress: TypeAlias = Callable[[bytes], bytes]

#: A client that asks for one of these has one of its modules.
_BROTLI = (("brotli", "process"), ("brotlicffi", "decompress"))
_ZSTD = ("compression.zstd", "backports.zstd", "zstandard")


class UnknownCodingError(ValueError):
    """Nothing here can decompress a body."""


def decompressor(codings: str) -> Decompress | None:
    """Return what decompresses a body; it takes the pieces in order.

    Args:
        codings: the value of ``Content-Encoding`` (RFC 9110, 8.4): names, in the order in which they were applied.

    Returns:
        None if the body is not compressed.

    Raises:
        UnknownCodingError: a coding is not known, or its module is not installed.
    """
    names = [name.strip().lower() for name in codings.split(",")]
    steps = [_of(name) for name in reversed(names) if name not in {"", "identity"}]
    return partial(_all, steps) if steps else None


def _all(steps: list[Decompress], data: bytes) -> bytes:
    for step in steps:
        data = step(data)
    return data


def _of(coding: str) -> Decompress:
    if coding in {"gzip", "x-gzip"}:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress
    if coding == "deflate":
        return _Deflate()
    if coding == "br":
        for name, method in _BROTLI:
            if (library := _module(name)) is not None:
                return partial(getattr(library.Decompressor(), method))
    if coding == "zstd":
        for name in _ZSTD:
            if (library := _module(name)) is not None:
                made = library.ZstdDecompressor()
                return partial((made.decompressobj() if hasattr(made, "decompressobj") else made).decompress)
    raise UnknownCodingError(f"nothing is installed that decompresses {coding!r:.40}")


class _Deflate:
    """The format of zlib, or, as some servers send it, the bare stream inside of it."""

    def __init__(self) -> None:
        self._step: Decompress | None = None

    def __call__(self, data: bytes) -> bytes:
        if self._step is None:
            if not data:
                return b""
            is_zlib = data[0] & 0x0F == zlib.DEFLATED
            self._step = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS).decompress
        return self._step(data)


def _module(name: str) -> Any:
    """Return a module, or None if it is not installed."""
    if name not in sys.modules:
        try:
            import_module(name)
        except ImportError:
            return None
    return sys.modules[name]
