"""Warns of a stream that nobody closed."""

from __future__ import annotations

import warnings

from pytest_mockstream._base.errors import UnclosedStreamWarning
from pytest_mockstream.playbook.request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def warn_unclosed(request: Request, remedy: str) -> None:
    """Warn that only the finaliser of a stream has closed it."""
    message = (
        f"{request} was never closed: only its finaliser did it. A real one would have kept its"
        f" connection open and the model generating. {remedy}"
    )
    site = request.opened_at
    warnings.warn_explicit(message, UnclosedStreamWarning, site.filename, site.lineno)
