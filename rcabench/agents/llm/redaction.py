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

# Every pattern begins with literals and repeats only single character classes, possessively or within bounds: the
# time is linear in the text. A group called `secret` is replaced where there is one, the whole match otherwise.
# The words in front are what a text in lower case must hold for the pattern to be tried at all.
_PATTERNS: tuple[tuple[str, tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (kind, needles, re.compile(pattern))
    for kind, needles, pattern in (
        (
            "private_key",
            ("private key-----",),
            r"(?s)-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY-----|\Z)",
        ),
        ("jwt", ("eyj",), r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+)?"),
        ("api_key", ("sk-",), r"(?<![A-Za-z0-9])sk-(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{16,}+"),
        ("api_key", ("_live_", "_test_"), r"(?<![A-Za-z0-9])[srp]k_(?:live|test)_[A-Za-z0-9]{16,}+"),
        ("api_key", ("aiza",), r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35,}+"),
        ("api_key", ("hf_", "gsk_", "npm_"), r"(?<![A-Za-z0-9])(?:hf|gsk|npm)_[A-Za-z0-9]{30,}+"),
        (
            "aws_key",
            ("akia", "asia", "aroa", "aida"),
            r"(?<![A-Za-z0-9])A(?:KIA|SIA|ROA|IDA)[A-Z0-9]{16}(?![A-Za-z0-9])",
        ),
        (
            "git_token",
            ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
            r"(?<![A-Za-z0-9])g(?:h[pousr]_[A-Za-z0-9]{30,}+|ithub_pat_[A-Za-z0-9_]{22,}+)",
        ),
        ("git_token", ("glpat-",), r"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20,}+"),
        ("slack_token", ("xox",), r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}+"),
        ("slack_token", ("hooks.slack.com",), r"hooks\.slack\.com/services/(?P<secret>[A-Za-z0-9/]{20,}+)"),
        (
            "authorization",
            ("authorization", "api-key", "api_key", "apikey"),
            r"(?i:authorization|api[-_]?key)\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?"
            r"(?:(?i:bearer|basic|token|digest|negotiate|apikey)\s{1,4})?"
            r"(?!\[redacted:)(?P<secret>[^\s\"'\\,;&<>(){}\[\]]{8,}+)",
        ),
        (
            "bearer",
            ("bearer",),
            r"(?i:bearer)\s{1,4}(?P<secret>(?=[A-Za-z._~+/=-]{0,64}[0-9]|[A-Za-z._~+/=-]{24})[A-Za-z0-9._~+/=-]{8,}+)",
        ),
        (
            "password",
            ("passw", "passphrase", "pwd"),
            r"(?i:password|passwd|passphrase|pwd)\\?[\"']?\s{0,4}[:=]\s{0,4}(?:\\?[\"'])?"
            r"(?!\[redacted:)(?P<secret>[^\s\"'\\,;&<>(){}\[\]]{4,}+)",
        ),
        (
            "token",
            ("token", "secret", "_key", "credential"),
            r"(?i:token|secret|access_?key|access_key_id|private_key|credentials?)\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?"
            r"(?!\[redacted:)(?P<secret>(?=[A-Za-z._~+/=-]{0,64}[0-9])[A-Za-z0-9._~+/=-]{12,}+)",
        ),
        ("url_password", ("://",), r"://[^\s:/@\"'\\<>]{0,64}:(?!\[redacted:)(?P<secret>[^\s/@\"'\\<>]{1,200})@"),
    )
)


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
        values: secret values, longest first, so that one that holds another is found first.

    Example:
        >>> Redactor().redacted("connect to postgres://app:hunter22@db/orders")
        'connect to postgres://app:[redacted:url_password]@db/orders'
    """

    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """Take the values of variables whose names say that they are secret."""
        plain = {
            value.strip()
            for name, value in environment.items()
            if _SECRET_NAME.search(name) and len(value.strip()) >= _SHORTEST_VALUE
        }
        forms = {form for value in plain for form in (value, json.dumps(value)[1:-1], quote(value, safe=""))}
        return cls(values=tuple(sorted(forms, key=lambda form: (-len(form), form))))

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
        lowered = text.lower()
        for kind, needles, pattern in _PATTERNS:
            if any(needle in lowered for needle in needles):
                group = "secret" if "secret" in pattern.groupindex else 0
                for match in pattern.finditer(text):
                    start, end = match.span(group)
                    yield Secret(kind=kind, start=start, end=end, value=match[group])


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the text without secrets; whoever has many texts keeps a `Redactor`.

    Args:
        text: anything.
        environment: whose secret values are taken out too; the process's own by default.
    """
    return Redactor.of(os.environ if environment is None else environment).redacted(text)


def _joined(first: Secret, second: Secret, text: str) -> Secret:
    return Secret(kind=first.kind, start=first.start, end=second.end, value=text[first.start : second.end])
