"""Addresses as they may be shown."""

from __future__ import annotations


def without_password(url: str) -> str:
    """Return the URL without who signs in, and how."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url
