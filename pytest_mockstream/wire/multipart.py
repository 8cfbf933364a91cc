"""Reads the bodies of forms with files: ``multipart/form-data`` (RFC 7578), as strictly as JSON is read.

It knows no provider. Nothing in a form is shown in a message but the names of its fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .format import BadRequestError, Json

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)  # RFC 2046 section 5.1.1
_PARAMETER = re.compile(r';\s*(name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_MOST_PARTS = 1000
_MOST_HEAD = 8192
#: What browsers and HTTP libraries write for characters that end a name: https://html.spec.whatwg.org/#multipart-form-data
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n", '\\"': '"', "\\\\": "\\"}
_ESCAPED = re.compile("|".join(map(re.escape, _ESCAPES)), re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that came in a form, or alone.

    Attributes:
        filename: its name, as its sender has it.
        content_type: as sent; ``application/octet-stream`` if nothing was.
        content: the bytes.
    """

    filename: str
    content_type: str = "application/octet-stream"
    content: bytes = field(repr=False)

    @property
    def described(self) -> Json:
        """What the record of requests has in its place: everything but the bytes."""
        return {"filename": self.filename, "content_type": self.content_type, "size": len(self.content)}


@dataclass(frozen=True, slots=True)
class Form:
    """A form.

    Attributes:
        fields: texts by the name of their field, lists of texts where the name ends with ``[]`` or comes more than
            once; files are described by their names and sizes.
        files: the files by the name of their field.
    """

    fields: Json = field(repr=False)
    files: dict[str, list[File]] = field(repr=False)


def read_form(content_type: str, body: bytes) -> Form:
    """Read a form.

    Args:
        content_type: the header, which names the boundary.
        body: the body.

    Raises:
        BadRequestError: it is no form, or it is broken.
    """
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        shown = content_type.partition(";")[0][:80]
        raise BadRequestError(f"its content type must be multipart/form-data, but it is {shown!r}")
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise BadRequestError("its content type multipart/form-data names no boundary")
    fields: Json = {}
    files: dict[str, list[File]] = {}
    for name, filename, kind, content in _parts((boundary[1] or boundary[2]).encode(errors="replace"), body):
        value: object
        if filename is None:
            value = _text(name, content)
        else:
            file = File(filename=filename, content_type=kind or "application/octet-stream", content=content)
            files.setdefault(name.removesuffix("[]"), []).append(file)
            value = file.described
        _add(fields, name, value)
    return Form(fields, files)


def _add(fields: Json, name: str, value: object) -> None:
    plain = name.removesuffix("[]")
    if plain != name:
        values = fields.setdefault(plain, [])
        fields[plain] = [*values, value] if isinstance(values, list) else [values, value]
    elif plain in fields:
        before = fields[plain]
        fields[plain] = [*before, value] if isinstance(before, list) else [before, value]
    else:
        fields[plain] = value


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BadRequestError(f"the field {name!r:.80} of its form is not UTF-8, and not a file") from None


def _parts(boundary: bytes, body: bytes) -> Iterator[tuple[str, str | None, str | None, bytes]]:
    """Yield name, name of the file, content type and content of each part."""
    _, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if not parts:
        raise BadRequestError(f"its body of {len(body)} bytes has not one line with the boundary that its header names")
    *parts, end = parts
    if not end.startswith(b"--"):
        raise BadRequestError("its form breaks off: the boundary that ends it is missing")
    if len(parts) > _MOST_PARTS:
        raise BadRequestError(f"its form has {len(parts)} parts: at most {_MOST_PARTS} are read")
    for number, part in enumerate(parts, 1):
        head, between, content = part.lstrip(b" \t").partition(b"\r\n\r\n")
        if not between or not head.startswith(b"\r\n") or len(head) > _MOST_HEAD:
            raise BadRequestError(f"part {number} of its form has no headers, or no empty line after them")
        headers = dict(_headers(head))
        told = {match[1].lower(): match for match in _PARAMETER.finditer(headers.get("content-disposition", ""))}
        if "name" not in told:
            raise BadRequestError(f"part {number} of its form has no name: its Content-Disposition names none")
        filename = _value(told["filename"]) if "filename" in told else None
        yield _value(told["name"]), filename, headers.get("content-type"), content


def _headers(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def _value(match: re.Match[str]) -> str:
    quoted: str | None = match[2]
    return match[3] if quoted is None else _ESCAPED.sub(lambda found: _ESCAPES[found[0].upper()], quoted)
