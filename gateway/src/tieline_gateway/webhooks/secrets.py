"""Secrets in files, which may change while the gateway runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tieline_gateway.settings_error import SettingsError

_log = logging.getLogger("tieline.gateway.webhooks")
_LOOK_SECONDS = 1.0
_MOST_BYTES = 16_384


class Secrets:
    """All secrets of some files, one a line, in their order. Files that change are read again within about a second.

    A file that cannot be used any more changes nothing, and is told in the log: its secrets stay as they were.

    Args:
        files: paths.
        read: makes a secret of a line; a ValueError says why it cannot be one.

    Raises:
        SettingsError: a file cannot be read, or has no secret, or a bad one.

    """

    def __init__(self, files: Sequence[Path], read: Callable[[str], bytes]) -> None:
        self._read = read
        self._files = {path: (_stamp(path), self._secrets_in(path)) for path in files}
        self._looked = time.monotonic()
        self._current = self._all()

    def current(self) -> Sequence[bytes]:
        """The secrets; there is at least one."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._current

    def _look(self) -> None:
        for path, (known, secrets) in self._files.items():
            stamp = _stamp(path)
            if stamp != known:
                self._files[path] = (stamp, self._again(path, secrets))
        self._current = self._all()

    def _again(self, path: Path, before: Sequence[bytes]) -> Sequence[bytes]:
        try:
            secrets = self._secrets_in(path)
        except SettingsError as error:
            _log.error("the secrets of %s stay as they were: %s", path, error)
            return before
        _log.info("the secrets of %s have changed", path)
        return secrets

    def _secrets_in(self, path: Path) -> Sequence[bytes]:
        try:
            with path.open("rb") as file:
                lines = file.read(_MOST_BYTES).decode().split("\n")
        except OSError as error:
            raise SettingsError(f"cannot read the secret file {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SettingsError(f"the secret file {path} is no text") from None
        texts = [line.strip() for line in lines if line.strip()]
        if not texts:
            raise SettingsError(f"the secret file {path} is empty; it has a secret in each line")
        try:
            return [self._read(text) for text in texts]
        except ValueError as error:
            raise SettingsError(f"the secret file {path}: {error}") from None

    def _all(self) -> Sequence[bytes]:
        return [secret for _, secrets in self._files.values() for secret in secrets]


def secret_files(given: str | list[str]) -> list[Path]:
    """The names of one file, or of several; none where nothing is said."""
    names = [given] if isinstance(given, str) else given
    return [Path(name) for name in names if name]


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes with the file."""
    try:
        about = path.stat()
    except OSError:
        return (0, 0, 0)
    return (about.st_mtime_ns, about.st_size, about.st_ino)
