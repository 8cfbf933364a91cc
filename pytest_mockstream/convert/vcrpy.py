"""Reads the exchanges of a cassette of vcrpy, as pytest-recording writes them, too; in YAML or JSON.

Cassettes have had the same version since vcrpy 1.0, and bodies in several forms: text, bytes, the object that a client
gave as JSON, and, from httpx with vcrpy before 6, ``content``. The format is described at
https://vcrpy.readthedocs.io/en/latest/usage.html and by its own files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pytest_mockstream.doors.decompression import UnknownCodingError, decompressor

from .reading import Foreign
from .result import ConversionError, Place

_VERSION = 1
_SLICE = 2**16
_LARGEST = 2**26  # bytes of one body, once it is no longer compressed


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer.

    Attributes:
        place: where it stands.
        method: of HTTP.
        url: the whole URL.
        headers: of the request.
        body: of the request.
        status: of the answer.
        answer_headers: of the answer.
        answer_body: of the answer, no longer compressed.
    """

    place: Place
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer_headers: Sequence[tuple[str, str]]
    answer_body: bytes


def exchanges_of(cassette: Foreign) -> Iterator[Exchange]:
    """Yield the exchanges of a cassette.

    Raises:
        ConversionError: it is of another version, or something in it is not as vcrpy writes it.
    """
    version = cassette.data.get("version")
    if version != _VERSION or isinstance(version, bool):
        told = "has no version" if version is None else f"is of version {version!r:.40}"
        raise ConversionError(f"{cassette.path}: this cassette {told}, and only {_VERSION} is known")
    listed = cassette.data["interactions"]
    if not listed:
        raise ConversionError(f"{cassette.path}: this cassette is empty: it has no interactions")
    for number, entry in enumerate(listed, 1):
        yield _Reader(cassette.place(number, "interaction")).exchange(entry)


class _Reader:
    """Reads one interaction."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def exchange(self, entry: object) -> Exchange:
        request = self._mapping(entry, "request")
        answer = self._mapping(entry, "response")
        status = answer.get("status_code")
        if status is None:
            status = self._mapping(answer, "status", "response.status").get("code")
        if type(status) is not int or not 100 <= status <= 999:
            raise self._wrong("response.status.code", status, "a status of HTTP")
        headers = self._headers(answer, "response.headers")
        url, method = request.get("uri"), request.get("method")
        if not isinstance(url, str) or not _is_url(url):
            raise self._wrong("request.uri", url, "a URL")
        if not isinstance(method, str) or not method:
            raise self._wrong("request.method", method, "a method of HTTP")
        return Exchange(
            place=self._place,
            method=method,
            url=url,
            headers=dict(self._headers(request, "request.headers")),
            body=self._sent(request.get("body")),
            status=status,
            answer_headers=[pair for pair in headers if pair[0] != "content-encoding"],
            answer_body=self._came(answer, headers),
        )

    def _mapping(self, owner: object, name: str, shown: str = "") -> Mapping[str, Any]:
        found = owner.get(name) if isinstance(owner, Mapping) else None
        if not isinstance(found, Mapping):
            raise self._wrong(shown or name, found, "a mapping")
        return found

    def _headers(self, owner: Mapping[str, Any], name: str) -> list[tuple[str, str]]:
        found = owner.get("headers") or {}
        if not isinstance(found, Mapping):
            raise self._wrong(name, found, "a mapping")
        return [
            (str(key).lower(), one.decode("latin-1") if isinstance(one, bytes) else str(one))
            for key, values in found.items()
            for one in (values if isinstance(values, list | tuple) else [values])
        ]

    def _sent(self, body: Any) -> bytes:
        if isinstance(body, Mapping):  # aiohttp's `json=`, which vcrpy keeps as it is
            return json.dumps(body, default=str).encode(errors="replace")
        if isinstance(body, list | tuple):
            if all(isinstance(part, str | bytes) for part in body):  # what an iterator gave
                return b"".join(map(_bytes_of, body))
            return json.dumps(body, default=str).encode(errors="replace")
        if not isinstance(body, str | bytes | None):
            raise self._wrong("request.body", body, "a text or bytes")
        return _bytes_of(body or b"")

    def _came(self, answer: Mapping[str, Any], headers: Sequence[tuple[str, str]]) -> bytes:
        if "content" in answer:
            body = answer["content"]
        else:
            held = answer.get("body")
            body = held.get("string") if isinstance(held, Mapping) else held
        if not isinstance(body, str | bytes | None):
            raise self._wrong("response.body.string", body, "a text or bytes")
        codings = ", ".join(value for name, value in headers if name == "content-encoding")
        # What is text has been decompressed before vcrpy saw it, by httpx or `decode_compressed_response`.
        return self._decompressed(body, codings) if isinstance(body, bytes) and codings else _bytes_of(body or b"")

    def _decompressed(self, body: bytes, codings: str) -> bytes:
        try:
            step = decompressor(codings)
        except UnknownCodingError as error:
            raise ConversionError(
                f"{self._place}: {error}: pip install {'brotli' if 'br' in codings else 'zstandard'}, or record it with"
                " `decode_compressed_response=True`"
            ) from None
        made = bytearray()
        for place in range(0, len(body), _SLICE):
            try:
                made += step(body[place : place + _SLICE]) if step else body[place : place + _SLICE]
            except Exception as error:  # each library has its own
                if not place:  # decompressed already, as text is
                    return body
                raise ConversionError(f"{self._place}: its body is not {codings!r:.40}: {error}") from None
            if len(made) > _LARGEST:
                raise ConversionError(f"{self._place}: its body has more than {_LARGEST} bytes once it is decompressed")
        return bytes(made)

    def _wrong(self, name: str, value: object, legal: str) -> ConversionError:
        said = "is missing" if value is None else f"is {value!r:.80}, not {legal}"
        return ConversionError(f"{self._place}: {name} {said}")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is no number, or an address that is none
        return False


def _bytes_of(value: str | bytes) -> bytes:
    return value.encode(errors="replace") if isinstance(value, str) else value
