"""Makes secrets up, of all the shapes that the keys and passwords of real services have."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from typing import NamedTuple

ALPHANUMERIC = string.ascii_letters + string.digits
WORDS = ALPHANUMERIC + "_-"


class Secret(NamedTuple):
    """A secret, and what must not be found of it.

    Attributes:
        text: how it stands in a text.
        bare: the secret itself.
        variable: the variable of the environment that has it; empty where only its shape tells.
        value: what the variable has, where it is not the secret itself.
    """

    text: str
    bare: str
    variable: str = ""
    value: str = ""


def _some(chance: random.Random, alphabet: str, length: int) -> str:
    """Return random characters, among them a digit and letters of both cases where the alphabet has them."""
    while True:
        made = "".join(chance.choices(alphabet, k=length))
        kinds = ("0123456789", string.ascii_lowercase, string.ascii_uppercase)
        if all(set(made) & set(kind) for kind in kinds if set(alphabet) & set(kind)) and made[-1].isalnum():
            return made


def _with_prefix(prefix: str, length: int, alphabet: str = ALPHANUMERIC) -> Callable[[random.Random], Secret]:
    def make(chance: random.Random) -> Secret:
        made = prefix + _some(chance, alphabet, length)
        return Secret(made, made)

    return make


def _jwt(chance: random.Random) -> Secret:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    made = f"{head}.{_some(chance, WORDS, 60)}.{_some(chance, WORDS, 43)}"
    return Secret(made, made)


def _private_key(chance: random.Random) -> Secret:
    lines = "\n".join(_some(chance, ALPHANUMERIC + "+/", 64) for _ in range(3))
    return Secret(f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----", lines)


def _bearer(chance: random.Random) -> Secret:
    made = _some(chance, WORDS, 24)
    return Secret(f"Bearer {made}", made)


def _basic(chance: random.Random) -> Secret:
    made = base64.b64encode(f"user:{_some(chance, ALPHANUMERIC, 16)}".encode()).decode()
    return Secret(f"Basic {made}", made)


def _in_url(chance: random.Random) -> Secret:
    made = _some(chance, ALPHANUMERIC, 12)
    return Secret(f"postgres://admin:{made}@db.example/x", made)


def _in_query(chance: random.Random) -> Secret:
    made = _some(chance, WORDS, 20)
    return Secret(f"https://h.example/x?api_key={made}&page=2", made)


def _assigned(chance: random.Random) -> Secret:
    made = _some(chance, ALPHANUMERIC, 14)
    return Secret(f"password={made}", made)


def _in_environment(name: str, alphabet: str, length: int) -> Callable[[random.Random], Secret]:
    def make(chance: random.Random) -> Secret:
        made = _some(chance, alphabet, length)
        return Secret(made, made, f"{_some(chance, string.ascii_uppercase, 8)}_{name}")

    return make


def _encoded(chance: random.Random) -> Secret:
    """Return what Base64 makes of a secret of the environment with something before and behind it."""
    made = _some(chance, ALPHANUMERIC, 18)
    before, behind = ("x" * chance.randrange(5) for _ in range(2))
    text = base64.b64encode(f"{before}{made}{behind}".encode()).decode()
    return Secret(text, text[8:20], f"{_some(chance, string.ascii_uppercase, 8)}_TOKEN", made)


SHAPES: dict[str, Callable[[random.Random], Secret]] = {
    "OpenAI": _with_prefix("sk-proj-", 48, WORDS),
    "Anthropic": _with_prefix("sk-ant-api03-", 90, WORDS),
    "Google": _with_prefix("AIza", 35, WORDS),
    "Groq": _with_prefix("gsk_", 52),
    "xAI": _with_prefix("xai-", 80),
    "Hugging Face": _with_prefix("hf_", 34),
    "GitHub": _with_prefix("ghp_", 36),
    "GitLab": _with_prefix("glpat-", 20, WORDS),
    "Slack": _with_prefix("xoxb-", 50, ALPHANUMERIC + "-"),
    "Stripe": _with_prefix("sk_live_", 24),
    "AWS": _with_prefix("AKIA", 16, string.ascii_uppercase + string.digits),
    "Azure": _with_prefix("", 32, "0123456789abcdef"),
    "JSON Web Token": _jwt,
    "private key": _private_key,
    "Bearer": _bearer,
    "Basic": _basic,
    "user in a URL": _in_url,
    "parameter of a URL": _in_query,
    "assignment": _assigned,
    "word of the environment": _in_environment("KEY", ALPHANUMERIC, 12),
    "odd value of the environment": _in_environment("PASSWORD", ALPHANUMERIC + '"\\/&=?% <>é😀', 14),
    "Base64 of a value of the environment": _encoded,
}


def made_up(seed: int, count: int) -> tuple[list[Secret], dict[str, str]]:
    """Return secrets of all shapes by turns, and the environment that some of them stand in."""
    chance = random.Random(seed)  # noqa: S311 - made up, and the same in every run
    secrets, environ = [], {}
    makers = list(SHAPES.values())
    for number in range(count):
        secret = makers[number % len(makers)](chance)
        secrets.append(secret)
        if secret.variable:
            environ[secret.variable] = secret.value or secret.bare
    return secrets, environ


def leaked(value: object, secrets: list[Secret]) -> list[Secret]:
    """Return the secrets that can still be read in a value, as they are or as JSON has them."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    escaped = said.replace("\\\\", "\\").replace('\\"', '"').replace("\\n", "\n")
    return [secret for secret in secrets if secret.bare in said or secret.bare in escaped]
