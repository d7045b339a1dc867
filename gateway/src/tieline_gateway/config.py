"""The configuration file of a gateway: TOML, checked before anything is done with it.

What the flags of `tieline up` say may stand in it under the same names, with `_` for `-`; what has names of its own
stands in tables. Flags win over the environment, the environment over the file, the file over the defaults.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tieline_gateway.access.jwt_config import JwtConfig
from tieline_gateway.access.rules import PrincipalConfig
from tieline_gateway.settings_error import SettingsError
from tieline_gateway.webhooks.delivery_table import DeliveryTable
from tieline_gateway.webhooks.sources import WebhookTable


class ConfigTables(msgspec.Struct, forbid_unknown_fields=True):
    """The tables of the file."""

    principals: dict[str, PrincipalConfig] = {}
    jwt: JwtConfig | None = None
    webhooks: dict[str, WebhookTable] = {}
    deliveries: dict[str, DeliveryTable] = {}

    def placed(self, folder: Path) -> ConfigTables:
        """The same, where the names of files are told from this folder."""
        return ConfigTables(
            principals=self.principals,
            jwt=self.jwt.placed(folder) if self.jwt else None,
            webhooks={name: table.placed(folder) for name, table in self.webhooks.items()},
            deliveries={name: table.placed(folder) for name, table in self.deliveries.items()},
        )


class Config(NamedTuple):
    """What a file says: values by the name of their flag, and tables."""

    values: Mapping[str, Any]
    tables: ConfigTables


NO_CONFIG = Config({}, ConfigTables())


def read_config(path: Path, options: Mapping[str, Any]) -> Config:
    """Read a file.

    Args:
        path: of the file.
        options: the type of each value, by name.

    Raises:
        SettingsError: it cannot be read, is no TOML, has a name that nobody knows, or a value of another type.

    """
    try:
        told = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}") from None
    names = [*options, *(field.encode_name for field in msgspec.structs.fields(ConfigTables))]
    for name in told:
        if name not in names:
            raise SettingsError(f"{path}: {name!r} is unknown{_nearest(name, names)}")
    values = {name: value for name, value in told.items() if name in options}
    tables = {name: value for name, value in told.items() if name not in options}
    shape = msgspec.defstruct("Values", [(name, options[name]) for name in values])
    return Config(
        msgspec.structs.asdict(_checked(path, values, shape)), _checked(path, tables, ConfigTables).placed(path.parent)
    )


def _checked(path: Path, told: Mapping[str, Any], shape: type[Any]) -> Any:
    try:
        return msgspec.convert(told, shape)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        place = f"{where.rstrip('`')}: " if where else ""
        raise SettingsError(f"{path}: {place}{what}") from None


def _nearest(name: str, names: list[str]) -> str:
    wanted = name.replace("-", "_")
    near = difflib.get_close_matches(wanted, names, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; it may have {', '.join(sorted(names))}"
