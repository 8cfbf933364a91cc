"""Lends SDKs what they need in the environment, as long as a door is open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_mockstream.doors import cloud
from pytest_mockstream.doors.guard import FAKE_KEY, NOWHERE
from pytest_mockstream.wire import DIALECTS, VARIABLES, keys_of

#: What an SDK needs when a client is made, and what else would do: two Google keys at once make google-genai warn.
#: litellm downloads a price list when it is imported, unless told that its own copy will do.
_NEEDED = (
    ("OPENAI_API_KEY", FAKE_KEY, ()),
    ("ANTHROPIC_API_KEY", FAKE_KEY, ("ANTHROPIC_AUTH_TOKEN",)),
    ("GEMINI_API_KEY", FAKE_KEY, ("GOOGLE_API_KEY",)),
    ("LITELLM_LOCAL_MODEL_COST_MAP", "True", ()),
    *((key, FAKE_KEY, ()) for key in keys_of(("cohere", *DIALECTS)) if key != "OPENAI_API_KEY"),
)
_lock = threading.Lock()
_lent: dict[str, str] = {}
_set_aside: dict[str, str] = {}
_borrowers: list[object] = []


@contextmanager
def lent_environment() -> Iterator[None]:
    """Set what is missing; the last of those who borrow it takes back what nobody has changed.

    In a process that was started while a door was open, base URLs lead nowhere: they are set aside, as this door
    answers.
    """
    borrower = object()
    with _lock:
        _borrowers.append(borrower)
        lacking = {
            name: value
            for name, value, others in _NEEDED
            if not any(os.environ.get(known) for known in (name, *others))
        } | cloud.lacking(os.environ)
        _lent.update(lacking)
        os.environ.update(lacking)
        for name in filter(None, (variables.base_url for variables in VARIABLES)):
            if os.environ.get(name) == NOWHERE:
                _set_aside[name] = os.environ.pop(name)
    try:
        yield
    finally:
        with _lock:
            _borrowers.remove(borrower)
            if not _borrowers:
                for name, value in _lent.items():
                    if os.environ.get(name) == value:
                        del os.environ[name]
                for name, value in _set_aside.items():
                    os.environ.setdefault(name, value)
                _lent.clear()
                _set_aside.clear()
