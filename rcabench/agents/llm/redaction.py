"""What a secret looks like, and text without any."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

_SHORTEST_VALUE = 8
"""Shorter values of environment variables ("true", "1") would turn up everywhere."""

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|KEYS|TOKEN|SECRET|SECRETS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|CREDENTIALS)(?:_|$)", re.I
)

_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
"""Unlike `str.lower`, it keeps every character where it is, beyond ASCII too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shape:
    """How secrets of a kind are written.

    The pattern repeats only single classes of characters, possessively or within bounds, and begins with a literal:
    its time is linear in the text, and short where the literal is rare. Its group `secret`, or else the whole match,
    is the secret.

    Attributes:
        kind: of secret.
        needles: in lower case; a text without any of them holds no such secret.
        pattern: what to look for.
        any_case: whether the pattern is meant for the text in lower case.
        has_digit: whether a match without any digit is a word rather than a secret.
    """

    kind: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    any_case: bool = False
    has_digit: bool = False


_ASSIGNED = r"\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?"
"""From a name to its value: `name=value`, `name: value`, and in JSON, also where that stands in JSON once more."""

_VALUE = r"(?!\[redacted:)(?P<secret>[^\s\"'\\,;&<>(){}\[\]]"

_SHAPES = (
    _Shape(
        kind="private_key",
        needles=("private key-----",),
        pattern=re.compile(
            r"(?s)-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----|\Z)"
        ),
    ),
    _Shape(
        kind="jwt",
        needles=("eyj",),
        pattern=re.compile(r"eyJ(?<![A-Za-z0-9_-]eyJ)[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?"),
    ),
    _Shape(
        kind="api_key",
        needles=("sk-",),
        pattern=re.compile(r"sk-(?<![A-Za-z0-9]sk-)[A-Za-z0-9_-]{16,}+"),
        has_digit=True,
    ),
    _Shape(
        kind="api_key",
        needles=("_live_", "_test_"),
        pattern=re.compile(r"[srp]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
    ),
    _Shape(kind="api_key", needles=("aiza",), pattern=re.compile(r"AIza[A-Za-z0-9_-]{35,}+")),
    _Shape(
        kind="api_key",
        needles=("hf_", "gsk_", "npm_"),
        pattern=re.compile(r"(?:hf|gsk|npm)_[A-Za-z0-9]{30,}+"),
    ),
    _Shape(
        kind="aws_key",
        needles=("akia", "asia", "aroa", "aida"),
        pattern=re.compile(r"A(?:KIA|SIA|ROA|IDA)(?<![A-Za-z0-9]....)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        has_digit=True,
    ),
    _Shape(
        kind="git_token",
        needles=("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
        pattern=re.compile(r"g(?:h[pousr]_[A-Za-z0-9]{30,}+|ithub_pat_[A-Za-z0-9_]{22,}+|lpat-[A-Za-z0-9_-]{20,}+)"),
    ),
    _Shape(
        kind="slack_token",
        needles=("xox",),
        pattern=re.compile(r"xox[abeoprs]-[A-Za-z0-9-]{10,}+"),
        has_digit=True,
    ),
    _Shape(
        kind="slack_token",
        needles=("hooks.slack.com",),
        pattern=re.compile(r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/]{20,}+)"),
    ),
    _Shape(
        kind="authorization",
        needles=("authorization", "api-key", "api_key", "apikey"),
        pattern=re.compile(
            rf"(?:authorization|api[-_]?key){_ASSIGNED}(?:(?:bearer|basic|token|digest|negotiate|apikey)\s{{1,4}})?"
            rf"{_VALUE}{{8,}}+)"
        ),
        any_case=True,
    ),
    _Shape(
        kind="bearer",
        needles=("bearer",),
        pattern=re.compile(r"bearer\s{1,4}(?P<secret>[a-z0-9._~+/=-]{8,}+)"),
        any_case=True,
        has_digit=True,
    ),
    _Shape(
        kind="password",
        needles=("passw", "passphrase", "pwd"),
        pattern=re.compile(rf"p(?:ass(?:word|wd|phrase)|wd){_ASSIGNED}{_VALUE}{{4,}}+)"),
        any_case=True,
    ),
    _Shape(
        kind="token",
        needles=("token", "secret", "_key", "credential"),
        pattern=re.compile(
            r"(?:token|secret|access_?key|access_key_id|private_key|credentials?)"
            rf"{_ASSIGNED}(?P<secret>[a-z0-9._~+/=-]{{12,}}+)"
        ),
        any_case=True,
        has_digit=True,
    ),
    _Shape(
        kind="url_password",
        needles=("://",),
        pattern=re.compile(r"://[^\s:/@\"'\\<>]{0,64}:(?!\[redacted:)(?P<secret>[^\s/@\"'\\<>]{1,200})@"),
    ),
)

_NEEDLES = tuple(sorted({needle for shape in _SHAPES for needle in shape.needles}))
_DIGIT = re.compile("[0-9]")
_VARIABLE = re.compile("[$]?[A-Z][A-Z0-9]*_[A-Z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """Something in a text that looks like a secret.

    Attributes:
        kind: what it looks like; `env` for the value of an environment variable.
        start, end: where it is, in characters, half-open.
        value: what it is; show `shortened` to people.
    """

    kind: str
    start: int
    end: int
    value: str

    @property
    def shortened(self) -> str:
        """The beginning of it, enough to find it and too little to use it."""
        return f"{self.value[: min(4, len(self.value) // 4)]}... ({len(self.value)} characters)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Redactor:
    """Finds secrets and takes them out: those of well-known shapes, and values that the environment keeps secret.

    Attributes:
        values: secret values, in every form in which they may be written.

    Example:
        >>> Redactor().redacted("connect to postgres://app:hunter22@db/orders")
        'connect to postgres://app:[redacted:url_password]@db/orders'
    """

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Take the values of variables whose names say that they are secret."""
        # Names first: the environment of a process decodes a value whenever it is asked for it.
        secret = (environment.get(name, "").strip() for name in list(environment) if _SECRET_NAME.search(name))
        plain = {value for value in secret if len(value) >= _SHORTEST_VALUE}
        forms = {form for value in plain for form in _forms(value)}
        return cls(values=tuple(sorted(forms)))

    def secrets(self, text: str) -> tuple[Secret, ...]:
        """Return what looks like a secret, in the order of the text, without overlaps; linear in its length."""
        found: list[Secret] = []
        end = 0
        for secret in sorted(self._found(text), key=lambda secret: (secret.start, -secret.end)):
            if secret.start >= end:
                found.append(secret)
            elif secret.end > end:
                found[-1] = _joined(found[-1], secret, text)
            end = max(end, secret.end)
        return tuple(found)

    def redacted(self, text: str) -> str:
        """Return the text with `[redacted:<kind>]` in place of each secret."""
        parts, end = [], 0
        for secret in self.secrets(text):
            parts += [text[end : secret.start], f"[redacted:{secret.kind}]"]
            end = secret.end
        return "".join([*parts, text[end:]]) if parts else text

    def _found(self, text: str) -> Iterator[Secret]:
        for value in self.values:
            start = text.find(value)
            while start >= 0:
                yield Secret(kind="env", start=start, end=start + len(value), value=value)
                start = text.find(value, start + len(value))
        lowered = text.lower() if text.isascii() else text.translate(_LOWER)
        if not any(map(lowered.__contains__, _NEEDLES)):
            return
        for shape in _SHAPES:
            if any(map(lowered.__contains__, shape.needles)):
                yield from _matches(shape, text, lowered)


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the text without secrets; whoever has many texts keeps a `Redactor`.

    Args:
        text: anything.
        environment: whose secret values are taken out too; the process's own by default.
    """
    return Redactor.of(os.environ if environment is None else environment).redacted(text)


def _forms(value: str) -> tuple[str, ...]:
    return value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe="")


def _joined(first: Secret, second: Secret, text: str) -> Secret:
    return Secret(kind=first.kind, start=first.start, end=second.end, value=text[first.start : second.end])


def _matches(shape: _Shape, text: str, lowered: str) -> Iterator[Secret]:
    group = "secret" if "secret" in shape.pattern.groupindex else 0
    for match in shape.pattern.finditer(lowered if shape.any_case else text):
        start, end = match.span(group)
        if shape.has_digit and not _DIGIT.search(text, start, end):
            continue
        # `api_key_env: OPENAI_API_KEY` and its like name the secret, and do not tell it.
        if not (shape.any_case and _VARIABLE.fullmatch(text, start, end)):
            yield Secret(kind=shape.kind, start=start, end=end, value=text[start:end])
