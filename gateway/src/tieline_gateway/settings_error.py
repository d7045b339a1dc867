"""What can be wrong with settings."""

from __future__ import annotations


class SettingsError(Exception):
    """The settings cannot be meant; the message says why and what to do."""
