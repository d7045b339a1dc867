"""Who a client certificate names. The TLS library has verified it before."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

_REMEMBERED = 4_096


class Certificate(NamedTuple):
    """Names in a certificate, and when it ends (seconds since 1970)."""

    names: tuple[str, ...]
    until: float


@lru_cache(_REMEMBERED)
def read_certificate(content: bytes) -> Certificate:
    """Read a certificate, PEM or DER.

    Its names are those of its SAN (DNS, URI, e-mail); only one that has no SAN is known by its common name (RFC 9525).
    """
    load = x509.load_pem_x509_certificate if content.startswith(b"-----") else x509.load_der_x509_certificate
    read = load(content)
    return Certificate(_names(read), read.not_valid_after_utc.timestamp())


def _names(read: x509.Certificate) -> tuple[str, ...]:
    try:
        found = read.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    except x509.ExtensionNotFound:
        return tuple(str(each.value) for each in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    assert isinstance(found, x509.SubjectAlternativeName)
    kinds = (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name)
    return tuple(name for kind in kinds for name in found.get_values_for_type(kind))
