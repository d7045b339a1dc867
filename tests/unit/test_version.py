"""What the client calls itself."""

from __future__ import annotations

from importlib.metadata import version

from tieline.version import CLIENT


def test_the_client_names_the_version_of_its_package() -> None:
    assert f"python/{version('tieline')}" == CLIENT
