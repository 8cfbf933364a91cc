"""Reads an answer from the bytes that a client gets from its provider, for a recording (HTTP/1.1, RFC 9112)."""

from __future__ import annotations

from pytest_mockstream.doors.passed import Passed
from pytest_mockstream.playbook.live import Ending

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_WITHOUT_BODY = {204, 304}
_SWITCHING = 101


class AnswerReader:
    """Reads one answer, and tells what it says.

    Args:
        passed: is told.
        method: of the request.

    Attributes:
        passed: is told.
        is_over: whether the answer has ended, however.
    """

    def __init__(self, passed: Passed, method: str) -> None:
        self.passed = passed
        self.is_over = False
        self._method = method.upper()
        self._data = bytearray()
        self._read = self._head
        self._left = 0  # bytes of the body, or of a chunk of it
        self._is_chunked = False
        self._ends_with_connection = False
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take the next bytes that have come."""
        if self.is_over:
            return
        if self._read == self._chunk_size and not self._data:
            data = self._whole_chunks(data)
        self._data += data
        try:
            while self._data and not self.is_over and self._read():
                pass
        except ValueError:  # it is not HTTP, which its client sees, too
            self.ended("cut")
        self._tell()

    def _whole_chunks(self, data: bytes) -> bytes:
        """Take the chunks that are there as a whole, as they mostly are, and return what is left."""
        at = 0
        while (end := data.find(b"\r\n", at)) >= 0:
            try:
                size = _size(data[at:end], 16)
            except ValueError:  # it has an extension, or is none
                break
            after = end + 2 + size
            if not size or data[after : after + 2] != b"\r\n":
                break
            self._body.append(data[end + 2 : after])
            at = after + 2
        return data[at:] if at else data

    def closed(self) -> None:
        """Note that the provider has closed the connection."""
        self.ended("end" if self._ends_with_connection else "cut")

    def ended(self, how: Ending = "end") -> None:
        """Note how the answer ended; the first time counts."""
        if not self.is_over:
            self._tell()
            self.is_over = True
            self.passed.ended(how)

    def stop(self) -> None:
        """Read no more, although the answer has not ended."""
        self.is_over = True

    def _tell(self) -> None:
        if self._body:
            self.passed.received(b"".join(self._body))
            self._body.clear()

    # Each part is read by a method that tells whether it could.

    def _head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._take(end + 4)[:end].decode("latin-1").split("\r\n")
        status = int(first.partition(" ")[2][:3])
        if 100 <= status < 200 and status != _SWITCHING:
            return True  # another head follows
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        self.passed.answered(status, headers)
        self._begin_body(status, dict(headers))
        return True

    def _begin_body(self, status: int, headers: dict[str, str]) -> None:
        if self._method == "HEAD" or status in _WITHOUT_BODY or status == _SWITCHING:
            self.ended()
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            self._is_chunked, self._read = True, self._chunk_size
        elif "content-length" in headers:
            self._left, self._read = _size(headers["content-length"], 10), self._piece
            if not self._left:
                self.ended()
        else:
            self._ends_with_connection, self._read = True, self._all

    def _all(self) -> bool:
        self._body.append(self._take(len(self._data)))
        return True

    def _piece(self) -> bool:
        piece = self._take(self._left)
        self._body.append(piece)
        self._left -= len(piece)
        if not self._left:
            if self._is_chunked:
                self._read = self._chunk_end
            else:
                self.ended()
        return True

    def _chunk_size(self) -> bool:
        end = self._data.find(b"\r\n")
        if end < 0:
            return False
        self._left = _size(self._take(end + 2).partition(b";")[0], 16)
        self._read = self._piece if self._left else self._trailer
        return True

    def _chunk_end(self) -> bool:
        if len(self._data) < 2:
            return False
        self._take(2)
        self._read = self._chunk_size
        return True

    def _trailer(self) -> bool:
        end = self._data.find(b"\r\n")
        if end < 0:
            return False
        self._take(end + 2)
        if not end:
            self.ended()
        return True

    def _take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken


def _size(text: str | bytes, base: int) -> int:
    """Return a size; raises ``ValueError`` if it is none."""
    size = int(text, base)
    if size < 0:
        raise ValueError
    return size
