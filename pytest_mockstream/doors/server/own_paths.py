"""The paths that belong to the server itself, not to a provider: all of them begin alike."""

from __future__ import annotations

from urllib.parse import urlsplit

PREFIX = "/_mockstream/"


def is_own(target: bytes) -> bool:
    """Tell whether the target of a request is one of the server's own paths."""
    try:
        return urlsplit(target.decode("ascii", "replace")).path.startswith(PREFIX)
    except ValueError:  # it is no URL, and nobody's
        return False
