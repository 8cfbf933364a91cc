"""Takes secrets out of values and texts, also where a text is JSON or comes in fragments.

Theory of operation: every secret becomes ``[redacted]``, whichever it is. So a request with another secret in the same
place is the same request, and what was scrubbed once is not changed when it is scrubbed again. Each text is judged by
itself, by the name of its field, by its shape and by the secrets that are known; never by what was seen before, or the
order of requests would count. A text that is JSON is judged as the value that it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_mockstream._base.redaction import REDACTED, Secrets, hidden_spans, real, shown

from .changes import Change, json_in, leaves_of, merged, spread
from .known_secrets import forms_of, is_told_from_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: What is left when a secret is gone may look like one: it is looked at again, and soon is none any more.
_MOST_ROUNDS = 10


class SecretTexts:
    """Takes secrets out of values and texts.

    Args:
        known: the secrets that are known; those that cannot be told from text are not looked for.

    Attributes:
        forms: what is looked for: the secrets that are known, in all their forms.
    """

    __slots__ = ("_secrets", "forms")

    def __init__(self, known: Iterable[str]) -> None:
        self.forms = frozenset(form for value in known if is_told_from_text(value) for form in forms_of(value))
        self._secrets = Secrets(environment={}, known=self.forms, learns=False)

    def value(self, value: Any) -> Any:
        """Return a JSON-like value without its secrets, in the same shape."""
        for _ in range(_MOST_ROUNDS):
            before, value = value, self._without(self.hide(value))
            if value == before:
                break
        return value

    def hide(self, value: Any) -> Any:
        """Return a copy of a JSON-like value whose leaves hide their secrets."""
        return self._secrets.hide(value)[0]

    def _without(self, value: Any) -> Any:
        """Return a hidden value without what it hides, and without what texts in it say as JSON."""
        if isinstance(value, str):
            return REDACTED if str(value) == REDACTED else self.text(real(value))
        if isinstance(value, Mapping):
            return {self._without(name): self._without(item) for name, item in value.items()}
        if type(value) in {list, tuple, set, frozenset}:
            return type(value)(map(self._without, value))
        return shown(value)

    def text(self, text: str) -> str:
        """Return a text without its secrets."""
        return self.deltas([text])[0]

    def identifier(self, text: str) -> str:
        """Return an id, a name or a signature without secrets: one that is long and random need not be a secret."""
        return str(self._secrets.text(text, random=False))

    def deltas(self, fragments: Sequence[str]) -> list[str]:
        """Return fragments of one text without the secrets that they split: as many, and as long where nothing was."""
        return self.parts([fragments])[0][0]

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """Return texts that may be pieces of one without the secrets that they split, each of which stays a piece."""
        spans = hidden_spans(self._secrets.text("".join(texts)))
        return spread(texts, [Change(start, stop, REDACTED) for start, stop in spans])

    def parts(self, parts: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[list[Change]]]:
        """Return the parts of a text without the secrets in each of them, and in all of them together.

        Args:
            parts: the fragments of each part.

        Returns:
            The parts, with as many fragments; and the changes that were made to the whole text, one after the other.
        """
        made, rounds = [list(part) for part in parts], []
        for _ in range(_MOST_ROUNDS):
            if not (changes := self._changes_of(made)):
                break
            fragments = iter(spread([fragment for part in made for fragment in part], changes))
            made = [[next(fragments) for _ in part] for part in made]
            rounds.append(changes)
        return made, rounds

    def _changes_of(self, parts: Sequence[Sequence[str]]) -> list[Change]:
        """Return what has to be changed in parts of a text; nothing that is as it has to be."""
        texts = ["".join(part) for part in parts]
        whole = "".join(texts)
        changes, offset = self.changes(whole), 0
        for text in texts if len(texts) > 1 else []:
            changes += (Change(one.start + offset, one.stop + offset, one.text) for one in self.changes(text))
            offset += len(text)
        return [one for one in merged(changes) if whole[one.start : one.stop] != one.text]

    def changes(self, text: str) -> list[Change]:
        """Return where a text has secrets, and what comes in their place."""
        value = json_in(text)
        if value is None:
            return [Change(start, stop, REDACTED) for start, stop in hidden_spans(self._secrets.text(text))]
        return merged([*self._inside(text, self.hide(value)), *self._as_json(text)])

    def _inside(self, text: str, value: Any) -> Iterator[Change]:
        """Yield the changes of a text that is JSON, of which the value is hidden."""
        for leaf, item in leaves_of(text, value):
            if isinstance(item, str):
                is_whole = str(item) == REDACTED
                yield from leaf.inside([Change(0, len(item), REDACTED)] if is_whole else self.changes(real(item)))
            elif str(item) == REDACTED:
                yield leaf.whole(REDACTED)

    def _as_json(self, text: str) -> Iterator[Change]:
        """Yield where a text that is JSON has secrets that are more than one string of it."""
        for form in self.forms:
            if '"' in form and (start := text.find(form)) >= 0:
                yield Change(start, start + len(form), REDACTED)
