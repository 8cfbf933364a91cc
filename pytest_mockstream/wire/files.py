"""Files that were uploaded, as the store of a door keeps them; each provider shows them in its own shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .format import BadRequestError, Json
from .multipart import File
from .plain import DeclinedError, PlainRequest, Told

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_KIND = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file of a provider.

    Attributes:
        id: its id.
        provider: whose file it is.
        file: what was uploaded.
        purpose: what it is for, as its sender says.
        text: its content as text; what is no UTF-8 in it is replaced.
    """

    id: str
    provider: str
    file: File = field(repr=False)
    purpose: str = ""

    @property
    def text(self) -> str:
        """Its content as text; what is not UTF-8 in it is replaced."""
        return self.file.content.decode(errors="replace")


def keep_file(
    request: PlainRequest, provider: str, file: File, *, prefix: str, purpose: str = "", key: str = ""
) -> KeptFile:
    """Keep a file, and return it: with the id that is given, or a new one with this prefix."""
    kept = KeptFile(id=key or request.store.new_id(prefix), provider=provider, file=file, purpose=purpose)
    request.store.put(_KIND, kept.id, kept)
    return kept


def find_file(request: PlainRequest, provider: str, key: str) -> KeptFile | None:
    """Return a file by its id, if there is one."""
    found = request.store.get(_KIND, key)
    return found if isinstance(found, KeptFile) and found.provider == provider else None


def file_of(request: PlainRequest, provider: str) -> KeptFile:
    """Return the file that the path names.

    Raises:
        DeclinedError: there is none.
    """
    kept: KeptFile = request.kept(_KIND, "file")
    if kept.provider != provider:
        raise DeclinedError(f"no file of {provider} has the id {kept.id!r:.80}")
    return kept


def files_of(request: PlainRequest, provider: str) -> list[KeptFile]:
    """Return all files of a provider, the oldest first."""
    return [kept for kept in request.store.all(_KIND).values() if kept.provider == provider]


def content(provider: str) -> Callable[[PlainRequest], Told]:
    """Return what answers with the bytes of the file that the path names."""

    def answer(request: PlainRequest) -> Told:
        file = file_of(request, provider).file
        return Told(pieces=(file.content,), content_type=file.content_type)

    return answer


def removed(provider: str, shown: Callable[[str], Json]) -> Callable[[PlainRequest], Json]:
    """Return what removes the file that the path names, and answers with what ``shown`` makes of its id."""

    def answer(request: PlainRequest) -> Json:
        kept = file_of(request, provider)
        request.store.remove(_KIND, kept.id)
        return shown(kept.id)

    return answer


def sent_file(request: PlainRequest, name: str = "file") -> File:
    """Return the file of a form.

    Raises:
        BadRequestError: there is none.
    """
    if not request.files.get(name):
        raise BadRequestError(f"{name!r} must be a file, but the form has no file of this name")
    return request.files[name][0]
