"""Where a gateway is, how to be let in, and what it means if nobody lets us in."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import grpc
import grpc.aio

from tieline.errors import (
    InvalidArgumentError,
    Outcome,
    PermissionDeniedError,
    TielineError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)

_log = logging.getLogger("tieline.grpc")
_DETAILS_KEY = "grpc-status-details-bin"
_DEFAULT_PORT = 50051
_PEM = frozenset({"ca", "cert", "key"})
_is_host = re.compile(r"[\w.\-]+|\[[0-9a-f:.%]+\]", re.IGNORECASE).fullmatch


class Target(NamedTuple):
    """Where a gateway is, and how to be let in: a token, or a file with one, which is read for each Link anew."""

    address: str
    credentials: grpc.ChannelCredentials | None
    token: str
    token_file: str = ""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a Link is opened with; nothing where the file cannot be read now, and then the gateway refuses it."""
        token = self.token
        if self.token_file:
            try:
                token = _read_token(self.token_file)
            except InvalidArgumentError as error:
                _log.warning("%s", error.message)
        return (("authorization", f"Bearer {token}"),) if token else ()


def parse_targets(url: str, token: str = "") -> list[Target]:
    """Read the address of a gateway, or the addresses of several that stand in front of one Redis.

    Raises:
        InvalidArgumentError: it is none, or a PEM file it names cannot be read.

    """
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    unknown = options.keys() - {*_PEM, "token_file"}
    user, _, hosts = parts.netloc.rpartition("@")
    addresses = [_address(host) for host in hosts.split(",")]
    valid = all(addresses) and parts.scheme in ("grpc", "grpcs")
    if not valid or (options.keys() & _PEM and parts.scheme == "grpc"):
        raise InvalidArgumentError(
            f"{parts.scheme}://{hosts} is no gateway's address: grpc://host:port, grpc://host:port,host:port, or "
            "grpcs://:token@host:port?ca=FILE&cert=FILE&key=FILE, with token_file=FILE instead of a token"
        )
    if unknown:
        raise InvalidArgumentError(
            f"{min(unknown)!r} is no option of a gateway's address; ca, cert, key and token_file are, each with a file"
        )
    token = token or unquote(user.partition(":")[2])
    token_file = options.pop("token_file", "")
    if token and token_file:
        raise InvalidArgumentError("there is a token in the gateway's address, and a token_file: give one of them")
    credentials = _credentials(options) if parts.scheme == "grpcs" else None
    targets = [Target(address, credentials, token, token_file) for address in addresses]
    if token_file:
        _read_token(token_file)
    return targets


def _read_token(file: str) -> str:
    """The first line of a file."""
    try:
        return Path(file).read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"cannot read the token in {file}: {error}") from None


def _address(host: str) -> str:
    """host:port; empty if it is none."""
    try:
        parts = urlsplit(f"//{host}")
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        return ""
    name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{name}:{port}" if name and _is_host(name) and parts.username is None else ""


def _credentials(files: dict[str, str]) -> grpc.ChannelCredentials:
    try:
        contents = {name: Path(file).read_bytes() for name, file in files.items()}
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {error.filename}: {error.strerror}") from None
    return grpc.ssl_channel_credentials(contents.get("ca"), contents.get("key"), contents.get("cert"))


def unreachable(target: Target, why: str) -> UnavailableError:
    """Make the error of a gateway that nobody can talk to, and what to do."""
    return UnavailableError(
        f"no gateway can be reached at {target.address} ({why}); {_advice(target, why)}",
        outcome=Outcome.NOT_DELIVERED,
    )


def _advice(target: Target, why: str) -> str:
    """What to do; gRPC tells apart only in words what somebody else at the port may be."""
    if "CERTIFICATE_VERIFY_FAILED" in why:
        return "its certificate is not trusted here: give its authority as ?ca=FILE"
    if "Hostname Verification" in why or "Hostname mismatch" in why:
        return "its certificate is for other names: put one of them into the URL"
    if "CERTIFICATE_REQUIRED" in why:
        return "it wants a certificate of yours: give ?cert=FILE&key=FILE"
    if "WRONG_VERSION_NUMBER" in why:
        return "it serves without TLS: use grpc://"
    if "http1" in why:
        return "that is a port for HTTP: `tieline up` says on which one it serves gRPC"
    if "Socket closed" in why and target.credentials is None:
        return "if it serves with TLS, use grpcs://"
    return "start one with `tieline up`, or check TIELINE_URL"


def refusal(target: Target, error: grpc.aio.AioRpcError) -> TielineError:
    """Make the error that a status means which ended a Link before its welcome."""
    text = error.details() or error.code().name
    match error.code():
        case grpc.StatusCode.UNAUTHENTICATED:
            message = f"the gateway at {target.address} refused the credentials; put the token into the URL's password"
            return UnauthenticatedError(f"{message} ({text})")
        case grpc.StatusCode.PERMISSION_DENIED:
            return PermissionDeniedError(f"the gateway at {target.address} does not permit the link: {text}")
        case grpc.StatusCode.UNIMPLEMENTED:
            return UnsupportedError(f"{target.address} speaks gRPC but is no Tieline gateway ({text})")
        case grpc.StatusCode.INVALID_ARGUMENT:
            return InvalidArgumentError(f"the gateway at {target.address} refused the link: {text}")
        case grpc.StatusCode.UNAVAILABLE if _is_told_by_gateway(error):
            message = f"the gateway at {target.address} takes no links now: {text}"
            return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)
        case _:
            return unreachable(target, text)


def _is_told_by_gateway(error: grpc.aio.AioRpcError) -> bool:
    """Whether the status is a gateway's own, and not what gRPC makes of a connection."""
    return any(name == _DETAILS_KEY for name, _ in error.trailing_metadata() or ())
