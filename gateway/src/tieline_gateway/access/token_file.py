"""The file of named tokens: whose they are and what their holders may do. Of a token it holds the SHA-256 sum only."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Generator
from pathlib import Path

import msgspec

from tieline_gateway.access.rules import Rules, RulesError, check_rules

_PREFIX = "tl_"
_RANDOM_BYTES = 32
_ID_BYTES = 4


class KeptToken(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What is kept of a token. Times are in milliseconds since 1970; one that never ends has `expires` 0."""

    id: str
    sha256: str
    created: int
    expires: int = 0


class Holder(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One principal: its tokens, and its rules, unless the configuration has them."""

    tokens: list[KeptToken] = []
    rules: Rules | None = None


class TokenFile(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file: holders by their names."""

    principals: dict[str, Holder] = {}


def new_token() -> str:
    """A token that nobody can guess: 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def new_id() -> str:
    """A short name for a token, by which it can be revoked."""
    return secrets.token_hex(_ID_BYTES)


def token_sum(token: str) -> str:
    """What is kept of a token. Tokens are random, so that a fast sum without salt gives nothing away."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def read_tokens(path: Path) -> TokenFile:
    """Read a file of tokens.

    Raises:
        RulesError: it cannot be read, or cannot be meant.

    """
    try:
        told = msgspec.json.decode(path.read_bytes(), type=TokenFile)
    except OSError as error:
        raise RulesError(f"cannot read the tokens in {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RulesError(f"{path} is no file of tokens: {error}; `tieline token create` makes one") from None
    for name, holder in told.principals.items():
        check_rules(name, holder.rules or Rules())
    return told


@contextlib.contextmanager
def change_tokens(path: Path) -> Generator[TokenFile]:
    """Read the file, or begin one, and write what became of it: at once, and readable by its owner only.

    Raises:
        RulesError: it cannot be read or written.

    """
    with _alone(path):
        told = read_tokens(path) if path.exists() else TokenFile()
        yield told
        try:
            _write(path, msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
        except OSError as error:
            raise RulesError(f"cannot write {path}: {error.strerror}") from None


@contextlib.contextmanager
def _alone(path: Path) -> Generator[None]:
    """Two commands at once change the file one after the other."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RulesError(f"cannot write {path}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, content: bytes) -> None:
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
