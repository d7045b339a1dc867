"""Addresses as they may be shown."""

from __future__ import annotations

import re

_SECRET = re.compile(r"([?&](?:password|sslpassword|token)=)[^&#]*", re.IGNORECASE)
_HIDDEN = r"\1…"


def without_password(url: str) -> str:
    """Return the URL without who signs in, and how."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{_SECRET.sub(_HIDDEN, rest.rpartition('@')[2])}" if separator else url
