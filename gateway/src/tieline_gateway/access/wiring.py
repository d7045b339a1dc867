"""Who is let in, as it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tieline_gateway.access.admission import Admission, Open
from tieline_gateway.access.chain import Certified, Chain
from tieline_gateway.access.jwt_config import JwtConfig
from tieline_gateway.access.roster import Roster
from tieline_gateway.access.rules import RulesError
from tieline_gateway.access.shared_token import SharedToken, TokenError
from tieline_gateway.settings import GatewaySettings
from tieline_gateway.settings_error import SettingsError

if TYPE_CHECKING:
    from tieline_gateway.access.jwt import JsonWebTokens


def make_admission(settings: GatewaySettings) -> Admission:
    """Put together what credentials are taken.

    Raises:
        SettingsError: files or tables cannot be read, or cannot be meant.

    """
    try:
        roster = Roster(settings.tables.principals, settings.tokens)
        jwt = _json_web_tokens(settings.tables.jwt, roster) if settings.tables.jwt else None
        shared = SharedToken.from_file(settings.token_file) if settings.token_file else None
    except (RulesError, TokenError) as error:
        raise SettingsError(str(error)) from None
    if roster.has_certificates and settings.tls_client_ca is None:
        raise SettingsError("principals with certificates need --tls-client-ca, which says whose certificates count")
    if settings.tables.principals and jwt is None and roster.empty:
        names = ", ".join(settings.tables.principals)
        told = "give them tokens_sha256 or certificates, or name a file of tokens with --tokens"
        raise SettingsError(f"nobody can show that they are one of the principals {names:.200}: {told}")
    if jwt is not None or not roster.empty:
        return Chain(roster, shared, jwt)
    if shared is not None:
        return shared
    return Certified() if settings.tls_client_ca else Open()


def _json_web_tokens(config: JwtConfig, roster: Roster) -> JsonWebTokens:
    from tieline_gateway.access.jwt import JsonWebTokens  # what it needs takes a while to load, and few want it

    return JsonWebTokens(config, roster)
