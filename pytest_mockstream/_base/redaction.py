"""Tells secrets from what may be shown, and hides them: in the record of requests, in messages, later in recordings.

It is pure: no request, no provider, no file.

Theory of operation: of headers, those are shown that are known to be harmless. In everything else a secret is told by
what it is called (a field, a parameter of a URL, ``name=value`` in a text), by its shape (the prefixes of providers'
keys, JWTs, private keys, long random words), and by where it stands as well: in the environment, under a name that ends
in KEY, TOKEN, SECRET or PASSWORD, or in a credential of the same request. ``Secrets.hide`` returns a copy in which each
such leaf is replaced by a ``HiddenText`` (or number): equal to the real one, and of the same type for ``isinstance``,
``json.dumps`` and ``re``, but shown as ``[redacted]``. Dicts and lists need no class of their own: they show themselves
by the ``repr`` of what is in them. A body without secrets comes out as it was.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, Self, SupportsIndex, TypeAlias

REDACTED = "[redacted]"

_Spans: TypeAlias = "tuple[tuple[int, int], ...]"
_Kind: TypeAlias = Literal["credential", "token", "ambiguous", "signature", "headers", "about", ""]
#: Where a copy goes (a container and a place in it), of what, the kind of its name, and whether a credential holds it.
_ToHide: TypeAlias = "tuple[Any, Any, Any, _Kind, bool]"
_CONTAINERS = (dict, list, tuple, set, frozenset, Mapping)

#: A shorter value is not searched for in other places: "1" and "true" are everywhere.
_SHORTEST = 8

# What is harmless.

_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
        *("content-length", "content-type", "date", "expect", "host", "transfer-encoding", "user-agent"),
        *("request-id", "x-request-id", "x-client-request-id", "x-correlation-id", "idempotency-key"),
        *("anthropic-version", "anthropic-beta", "openai-beta", "x-goog-api-client", "x-retry-count"),
        *("x-goog-upload-command", "x-goog-upload-offset", "x-goog-upload-protocol", "x-fern-sdk-name"),
    }
)
#: OpenAI's and Anthropic's SDKs tell their version, their platform and the number of the attempt.
_HEADER_PREFIX = "x-stainless-"
#: What is said of a credential without giving it away, as in Azure's ``{"type": "api_key", "key": ...}`` and in the
#: JSON schema of a tool's parameter.
_ABOUT = frozenset({"type", "title", "description", "format"})
_HARMLESS_NAME = re.compile(
    r"(?:cache|public|primary|foreign|partition|sort|idempotency|routing|group)_keys?$"
    r"|(?:max|min|bos|eos|pad|unk|sep|stop|page|continuation|next)_token$|(?:^|_)count_tokens$"
)
#: A long text of nothing but base64 is an image, a sound or a document.
_DATA = re.compile(r"(?:data:[\w/+.;=-]{1,100},)?[A-Za-z0-9+/_-]+={0,2}")
_DATA_LENGTH = 4096

# Names of credentials, in snake case. Those of the second kind have other meanings, too, so that the value counts.

_NAME = re.compile(
    r"passw|passphrase|pwd|secret|credential|authoriz|authentic|(?:^|_)auth(?:$|_)|cookie|bearer|jwt"
    r"|(?:api|access|private|signing|master|subscription|account)_?keys?(?:$|_)|connection_?string|[a-z0-9]_?token$"
)
_AMBIGUOUS_NAME = re.compile(r"(?:key|token)s?$|(?:^|_)(?:pat|csrf|xsrf|otp)$")
_SIGNATURE_NAME = re.compile(r"(?:^|_)sig(?:nature)?$")
#: One of these is in every name that any of the three patterns matches.
_PARTS_OF_NAMES = (
    *("passw", "passphrase", "pwd", "secret", "credential", "auth", "cookie", "bearer", "jwt", "key", "connection"),
    *("token", "pat", "csrf", "xsrf", "otp", "sig"),
)
_HEADERS_NAME = re.compile(r"(?:^|_)headers?$")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Shapes of credentials.

_PREFIXED = re.compile(
    # One that nothing else begins with: OpenAI, Anthropic and many, GitHub, GitLab, Slack, Google, xAI, Groq,
    # Perplexity, Cerebras, NVIDIA, Tavily, Pinecone, LangSmith, Stripe, npm, PyPI, Together, SendGrid, Vault and others
    r"(?:sk-|pk-lf-|gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|AIza|GOCSPX-|ya29\."
    r"|xai-|gsk_|pplx-|csk-|nvapi-|tvly-|pcsk_|lsv2_|ls__|[spr]k_(?:live|test)_|whsec_|npm_|pypi-|tgp_v1_"
    r"|SG\.|hvs\.|dop_v1_)"
    r"[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"
    # One that a name in a program might begin with: Hugging Face, Fireworks, Replicate, ElevenLabs, Databricks, Google,
    # and AWS
    r"|(?:hf_|fw_|r8_|sk_|dapi|AQ\.)[A-Za-z0-9]{16,}[A-Za-z0-9_-]*"
    r"|A(?:KIA|SIA|GPA|IDA|ROA)[A-Z0-9]{12,}"
    # JSON Web Tokens: https://datatracker.ietf.org/doc/html/rfc7519
    r"|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"
)
#: What any of these has in it; the dot of a prefix may stand before it.
_WORD = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_SEEN_BEFORE = 6  # characters before a prefix that say whether it is in a word
_PREFIX_BEFORE_WORD = 6
_SHORTEST_RANDOM = 32
#: What stands before a word: no letter and no digit, unless it is the end of an escape in JSON or in a URL.
_WORD_BEFORE = re.compile(r"[A-Za-z0-9]$")
_ESCAPE_BEFORE = re.compile(r"(?:\\[nrtbf]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4})$")
#: Keys without a prefix: letters and digits (Azure, Mistral, Cohere, Deepgram), or base64 (AWS, Azure's storage).
_RANDOM = re.compile(
    r"(?<![A-Za-z0-9_-])[A-Za-z0-9]{32,128}(?![A-Za-z0-9_-])"
    r"|(?<![A-Za-z0-9+/])[A-Za-z0-9][A-Za-z0-9+/]{39}(?![A-Za-z0-9+/=])"
    r"|(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}=="
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END[A-Z ]{0,40}-----|\Z)", re.DOTALL)
_BEARER = re.compile(r"\bbearer\s+([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_BASIC = re.compile(r"\bbasic\s+([A-Za-z0-9+/_-]{6,}={0,2})", re.IGNORECASE)
_USER_INFO = re.compile(r"://[^\s/?#@\"']{0,512}?:([^\s/?#@\"']{1,512})@")
_NAMED = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]{0,63}+)(?:\\{0,8}[\"'])?\s{0,4}+[=:]\s{0,4}+")
_VALUE = re.compile(
    r"\\{1,8}\"(?P<escaped>.*?)\\{1,8}\"|\"(?P<double>(?:\\.|[^\"\\])*+)|'(?P<single>(?:\\.|[^'\\])*+)"
    r"|(?P<bare>[^\s\"'&,;\\<>(){}\[\]]+)",
    re.DOTALL,
)
_HARMLESS_KINDS = frozenset({"", "about", "headers"})
_WHOLE_LINE = re.compile(r"cookie|authoriz")
_SHORTEST_NAMED = 6

_BRIEF = 80
_LOOKED_AT = 100_000


def is_harmless_header(name: str) -> bool:
    """Tell whether a header is known to hold no credential."""
    name = name.lower()
    return name in _HEADERS or name.startswith(_HEADER_PREFIX)


def credentials_in(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the credentials in the headers of a request, without the word that says of what kind they are."""
    for name, value in headers.items():
        if not is_harmless_header(name) and _is_credential(_kind_of(name), value):
            yield value.rpartition(" ")[2]


def is_named_like_credential(name: str) -> bool:
    """Tell whether a field of this name holds a credential, whatever its value looks like."""
    return _kind_of(name) in {"credential", "token"}


@lru_cache(maxsize=1024)
def is_secret_variable(name: str) -> bool:
    """Tell whether a variable of the environment is named like a secret."""
    return name.upper().endswith(("KEY", "TOKEN", "SECRET", "PASSWORD"))


class HiddenText(str):
    """A text that is what it is, and shows itself with its secrets replaced.

    ``repr``, ``str`` and ``format`` show; everything else, ``==``, slices, ``in``, ``json.dumps``, sees the real text.
    Slices hide what they have of a secret.
    """

    __slots__ = ("_spans",)
    _spans: _Spans

    def __new__(cls, text: str, spans: _Spans) -> Self:
        """Make one of a text and the places of its secrets."""
        self = super().__new__(cls, real(text))
        self._spans = spans
        return self

    def __str__(self) -> str:
        text, parts, end = real(self), [], 0
        for start, stop in self._spans:
            parts += [text[end:start], REDACTED]
            end = stop
        return "".join([*parts, text[end:]])

    def __repr__(self) -> str:
        return repr(str(self))

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        part = real(self)[key]
        if not isinstance(key, slice):
            return part
        start, stop, step = key.indices(len(self))
        if step != 1:
            return hidden(part)
        spans = [(max(one, start) - start, min(other, stop) - start) for one, other in self._spans]
        return hidden_at(part, ((one, other) for one, other in spans if one < other))

    def __copy__(self) -> HiddenText:
        return self

    def __deepcopy__(self, _memo: object) -> HiddenText:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenText, (real(self), self._spans)


class _Hidden:
    """Shows nothing of a value that is hidden as a whole."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(REDACTED, spec)


class HiddenInt(_Hidden, int):
    """A whole number that shows nothing of itself."""


class HiddenFloat(_Hidden, float):
    """A number that shows nothing of itself."""


class HiddenBytes(_Hidden, bytes):
    """Bytes that show nothing of themselves."""


def real(text: str) -> str:
    """Return a text as it is, for whoever asks for it expressly."""
    return str.__str__(text)


def hidden_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Return the places that a text hides, in their order; none for a text that hides nothing."""
    return text._spans if isinstance(text, HiddenText) else ()


def hidden(text: str) -> str:
    """Return a text that shows nothing of itself."""
    return hidden_at(text, [(0, len(text))] if text else [])


def joined(parts: Iterable[str]) -> str:
    """Return one text of many, which hides what they hide."""
    parts = list(parts)
    spans, length = [], 0
    for part in parts:
        if isinstance(part, HiddenText):
            spans += [(length + start, length + stop) for start, stop in part._spans]
        length += len(part)
    return hidden_at("".join(parts), spans)


def hidden_at(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text that hides these places of itself; the text itself if there are none."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return HiddenText(text, tuple(merged)) if merged else text


class Secrets:
    """What must not be shown of one request, and of what is said about it.

    Args:
        headers: of the request; the values of those that are named like credentials are secrets wherever they stand.
        environment: variables, of which those that are named like credentials are secrets; by default the process's.
        known: further secrets.
        learns: whether what is called a credential in one place is a secret in all others from then on.
    """

    __slots__ = ("_known", "_learns")

    def __init__(
        self,
        headers: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        known: Iterable[str] = (),
        learns: bool = True,
    ) -> None:
        self._known: set[str] = {*known, *_of_environment(os.environ if environment is None else environment)}
        self._learns = learns
        for credential in credentials_in(headers or {}):
            self._learn(credential)

    def __repr__(self) -> str:
        return f"<Secrets {len(self._known)}>"

    @property
    def known(self) -> frozenset[str]:
        """What is a secret wherever it stands."""
        return frozenset(self._known)

    def join(self, other: Secrets) -> None:
        """Take over what another one knows."""
        self._known |= other._known

    def _learn_from(self, text: str, *, hides: bool) -> None:
        if hides:
            self._learn(real(text))
        if isinstance(text, HiddenText):
            for start, stop in text._spans:
                self._learn(real(text)[start:stop])

    def _learn(self, value: str) -> None:
        if len(value) >= _SHORTEST:
            self._known.add(value)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return headers of which only those that are known to be harmless have their value."""
        return {
            name: str(self.text(value)) if is_harmless_header(name) else REDACTED for name, value in headers.items()
        }

    def text(self, text: str, *, random: bool = True) -> str:
        """Return a text that hides its secrets; the text itself if it has none.

        Args:
            text: what to hide secrets in.
            random: whether a long random word is a secret; there are places where it is none, such as ids.
        """
        places = _places(real(text), self._known, random=random)
        return hidden_at(text, [*text._spans, *places] if isinstance(text, HiddenText) else places)

    def shown(self, text: str) -> str:
        """Return a text as it may be shown: without its secrets, and nothing but a ``str``."""
        return str(self.text(text))

    def hide(self, *values: Any) -> list[Any]:
        """Return copies of JSON-like values whose leaves hide their secrets.

        What one value shares with another, their copies share, too. Nothing is called recursively: requests may be
        nested deeply.
        """
        copies: dict[int, tuple[Any, Any]] = {}  # with what was copied: while that lives, its id is its own
        leaves: list[tuple[Any, Any, Any, bool]] = []
        sequences: list[tuple[Any, Any, type]] = []
        copied: list[Any] = [None] * len(values)
        todo: list[_ToHide] = [(copied, place, value, "", False) for place, value in enumerate(values)]
        while todo:
            target, place, value, kind, inside = todo.pop()
            if isinstance(value, str) or not isinstance(value, _CONTAINERS):
                hides = inside or _is_credential(kind, value)
                if isinstance(value, str) and self._learns:
                    self._learn_from(value, hides=hides)
                leaves.append((target, place, value, hides))
            elif (known := copies.get(id(value))) is not None:
                target[place] = known[1]
            elif isinstance(value, Mapping):
                made: Any = {self._key(key): None for key in value}
                target[place] = made
                copies[id(value)] = value, made
                todo.extend(_members(value, made, kind, inside or _is_credential(kind, None)))
            else:
                target[place] = made = [None] * len(value)
                inside = inside or _is_credential(kind, None)
                todo.extend((made, index, item, kind, inside) for index, item in enumerate(value))
                if isinstance(value, list):
                    copies[id(value)] = value, made
                else:
                    sequences.append((target, place, type(value)))
        texts: dict[str, str] = {}
        for target, place, value, hides in leaves:
            if type(value) is str and not hides:
                if value not in texts:
                    texts[value] = self.text(value)
                target[place] = texts[value]
            else:
                target[place] = self._leaf(value, hides)
        for target, place, made_for in reversed(sequences):  # what is inside comes before what it is in
            made = target[place]
            target[place] = made_for(*made) if hasattr(made_for, "_fields") else made_for(made)
        return copied

    def _key(self, key: Any) -> Any:
        return self.text(key) if isinstance(key, str) else key

    def _leaf(self, value: Any, hides: bool) -> Any:
        match value:
            case str():
                return hidden(value) if hides else self.text(value)
            case bool() | None:
                return value
            case int():
                return HiddenInt(value) if hides else value
            case float():
                return HiddenFloat(value) if hides else value
            case bytes():
                return HiddenBytes(value) if hides or _places(value.decode("latin-1"), self._known) else value
        return value


def holds_hidden(value: Any) -> bool:
    """Tell whether a value hides something of itself, or has something in it that does."""
    seen: set[int] = set()
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, HiddenText | _Hidden):
            return True
        if isinstance(one, dict | list | tuple | set | frozenset) and id(one) not in seen:
            seen.add(id(one))
            todo.extend(one)
            if isinstance(one, dict):
                todo.extend(one.values())
    return False


def brief(value: object) -> str:
    """Return how a value shows itself, for a message: at most 80 characters, without what the environment keeps secret.

    Args:
        value: a script, a step, or anything else that somebody has given us.
    """
    text = Secrets().shown(repr(value)[:_LOOKED_AT])
    return text if len(text) <= _BRIEF else text[: _BRIEF - 3] + "..."


def shown(value: Any) -> Any:
    """Return a copy of a JSON-like value that ``Secrets.hide`` returned, in which the secrets are replaced for good."""
    if isinstance(value, HiddenText | _Hidden):
        return str(value)
    if isinstance(value, Mapping):
        return {shown(name): shown(item) for name, item in value.items()}
    return type(value)(map(shown, value)) if type(value) in {list, tuple, set, frozenset} else value


def _members(value: Mapping[Any, Any], made: Any, kind: _Kind, inside: bool) -> Iterator[_ToHide]:
    """Yield the members of an object."""
    for key, item in value.items():
        called = _kind_of(key) if isinstance(key, str) else ""
        hides = not is_harmless_header(str(key)) if kind == "headers" else inside and called != "about"
        yield made, key, item, called, hides


@lru_cache(maxsize=1024)
def _kind_of(name: str) -> _Kind:
    """Return what the name of a field says of its value.

    Returns:
        ``"credential"``; ``"token"``, which is one as well, unless it is a number; ``"ambiguous"``, which is one if it
        looks like one; ``"signature"``, which is one in a URL; ``"headers"``; ``"about"``: what is said of a credential
        without giving it away.
    """
    snake = _HUMP.sub("_", name[:128]).lower().replace("-", "_").replace(" ", "_").replace(".", "_")
    if snake in _ABOUT:
        return "about"
    if _HARMLESS_NAME.search(snake):
        return ""
    if _NAME.search(snake):
        return "token" if snake.endswith("token") else "credential"
    kinds: dict[_Kind, re.Pattern[str]] = {
        "ambiguous": _AMBIGUOUS_NAME,
        "signature": _SIGNATURE_NAME,
        "headers": _HEADERS_NAME,
    }
    return next((kind for kind, pattern in kinds.items() if pattern.search(snake)), "")


def _is_credential(kind: _Kind, value: Any) -> bool:
    """Tell whether a value is a credential by its name; None stands for a list or an object."""
    match kind:
        case "credential":
            return True
        case "token":
            return not isinstance(value, int | float)
        case "ambiguous":
            return isinstance(value, str) and len(value) >= _SHORTEST and not any(map(str.isspace, value))
    return False


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name in environment:
        if is_secret_variable(name):
            value = environment.get(name) or ""
            if len(value) >= _SHORTEST:
                yield value


def _places(text: str, known: Collection[str], *, random: bool = True) -> list[tuple[int, int]]:
    """Return where a text has secrets."""
    if len(text) < _SHORTEST or (len(text) > _DATA_LENGTH and _DATA.fullmatch(text)):
        return []
    found = []
    for secret in known:
        start = text.find(secret)
        while start >= 0:
            found.append((start, start + len(secret)))
            start = text.find(secret, start + 1)
    found += _of_shapes(text, random=random)
    if "-----BEGIN " in text:
        found += (match.span() for match in _PRIVATE_KEY.finditer(text))
    lower = text.lower() if " " in text else ""
    if "bearer " in lower:
        found += (match.span(1) for match in _BEARER.finditer(text))
    if "basic " in lower:
        found += (match.span(1) for match in _BASIC.finditer(text) if _is_user_info(match[1]))
    if "://" in text:
        found += (match.span(1) for match in _USER_INFO.finditer(text))
    if ":" in text or "=" in text:
        found += _of_names(text)
    return found


def _of_shapes(text: str, *, random: bool) -> Iterator[tuple[int, int]]:
    over = 0
    harmless = set()  # frames of a stream repeat their words
    for word in _WORD.finditer(text):  # few are that long: looking at these alone is what makes it fast
        start, stop = word.span()
        place = max(0, start - _PREFIX_BEFORE_WORD)
        if stop > over and (seen := text[max(0, place - _SEEN_BEFORE) : stop]) not in harmless:
            place = max(over, place)
            for found in _of_prefix(text, place, stop):
                yield found
                over = found[1]
            if place > over:
                harmless.add(seen)
        if random and stop - start >= _SHORTEST_RANDOM:
            yield from (match.span() for match in _RANDOM.finditer(text, start, stop + 2) if _looks_random(match[0]))


def _of_prefix(text: str, place: int, end: int) -> Iterator[tuple[int, int]]:
    while (match := _PREFIXED.search(text, place, end)) is not None:
        start = match.start()
        before = text[max(0, start - _SEEN_BEFORE) : start]
        if _WORD_BEFORE.search(before) and not _ESCAPE_BEFORE.search(before):
            place = start + 1
            continue
        whole = _PREFIXED.match(text, start)  # what follows after a dot belongs to it
        place = whole.end() if whole else match.end()
        yield start, place


def _of_names(text: str) -> Iterator[tuple[int, int]]:
    lower = text.lower()
    if not any(part in lower for part in _PARTS_OF_NAMES):
        return
    place = 0
    while (match := _NAMED.search(text, place)) is not None:
        place = match.end()
        kind = _kind_of(match[1])
        if kind in _HARMLESS_KINDS:
            continue
        said = _VALUE.match(text, place)
        group = said and said.lastgroup
        if said is None or group is None or len(said[group]) < _SHORTEST_NAMED:
            continue
        if _is_credential("ambiguous" if kind == "signature" else kind, said[group]):
            start, place = said.span(group)
            if group == "bare" and _WHOLE_LINE.search(match[1].lower()):
                end = text.find("\n", place)
                place = len(text) if end < 0 else end
            yield start, place


def _looks_random(word: str) -> bool:
    """Tell whether a long word is no word of a language and no path: it has digits as well as letters."""
    digits = any(map(str.isdigit, word))
    if len(word) == 40 and not word.isalnum():  # base64, and not a path
        return digits and word != word.lower() and word != word.upper()
    return digits and any(map(str.isalpha, word))


def _is_user_info(word: str) -> bool:
    try:
        return b":" in base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_")
    except ValueError:
        return False
