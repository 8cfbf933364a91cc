"""Takes the secrets out of what is recorded, for good, and tells where that cannot be done with certainty.

It is pure: no file, no process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_mockstream._base.redaction import credentials_in
from pytest_mockstream.script.steps import Step

from .doubts import doubts_about
from .known_secrets import secrets_of
from .secret_steps import scrubbed_steps
from .secret_texts import SecretTexts

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class Scrubber:
    """Takes secrets out of what is recorded: each becomes ``[redacted]``.

    Args:
        environ: the environment. The values of variables whose names end in KEY, TOKEN, SECRET or PASSWORD are
            secrets, also encoded as JSON, URLs and Base64 have them; ``doubts`` tells of those that are too short, or
            too common a word, to be told from text: they are not replaced.
        headers: of a request; the credentials in it are secrets, too.
    """

    __slots__ = ("_environ", "_texts", "_variables")

    def __init__(self, environ: Mapping[str, str], *, headers: Mapping[str, str] | None = None) -> None:
        self._environ = environ
        self._variables = secrets_of(environ)
        self._texts = SecretTexts([*self._variables, *credentials_in(headers or {})])

    def with_headers(self, headers: Mapping[str, str]) -> Scrubber:
        """Return one that knows the credentials in the headers of a request, too."""
        is_new = any(credential not in self._variables for credential in credentials_in(headers))
        return Scrubber(self._environ, headers=headers) if is_new else self

    def scrub(self, value: Any) -> Any:
        """Return a JSON-like value, or a text, without its secrets, in the same shape."""
        return self._texts.value(value)

    def deltas(self, fragments: Sequence[str]) -> list[str]:
        """Return fragments of one text without the secrets that they split: as many, and as long where nothing was.

        Args:
            fragments: joined, they are the text.
        """
        return self._texts.deltas(fragments)

    def script(self, steps: Iterable[Step | str]) -> list[Step | str]:
        """Return the steps of a script without secrets: as many, with as many fragments, in the same order.

        Images stay as they are: ``doubts`` looks into them.
        """
        return scrubbed_steps(self._texts, steps)

    def doubts(self, value: Any) -> list[tuple[str, str]]:
        """Return what cannot be scrubbed with certainty: where it stands, and why it may be a secret.

        Args:
            value: a JSON-like value, a text, a step or steps, as they were before they were scrubbed.
        """
        return list(doubts_about(value, self._texts, self._variables))
