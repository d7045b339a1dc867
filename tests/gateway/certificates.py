"""Certificates for one run of the tests, made anew each time: an authority, a server and a client."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path

import trustme

_FOLDER = tempfile.TemporaryDirectory(prefix="tieline-certificates-")
atexit.register(_FOLDER.cleanup)
PEM = Path(_FOLDER.name)


def _write(name: str, certificate: trustme.LeafCert) -> None:
    certificate.private_key_pem.write_to_path(str(PEM / f"{name}.key"))
    certificate.cert_chain_pems[0].write_to_path(str(PEM / f"{name}.pem"))


_authority = trustme.CA()
_authority.cert_pem.write_to_path(str(PEM / "authority.pem"))
_write("server", _authority.issue_cert("127.0.0.1", "localhost", "::1"))
_write("client", _authority.issue_cert("client@tieline.test"))
