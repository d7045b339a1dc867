"""Payloads of system events, from contract.toml: types for both languages, and the table in SPEC.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

_PYTHON = {"text": "str", "integer": "int", "number": "float", "time": "datetime"}
_NODE = {"text": "string", "integer": "number", "number": "number", "time": "Date"}


class Field(NamedTuple):
    """One field of a payload."""

    name: str
    type: str
    optional: bool
    about: str


class Payload(NamedTuple):
    """One kind of payload; `kind` is empty where the topic has one alone."""

    event: str
    kind: str
    about: str
    fields: list[Field]

    @property
    def topic(self) -> str:
        return f"system.{self.event}"

    @property
    def name(self) -> str:
        parts = [*self.kind.split("_"), self.event]
        return "".join(part.capitalize() for part in parts) + "Payload"


def payloads(contract: dict[str, Any]) -> list[Payload]:
    return list(_payloads(contract["system_events"]))


def _payloads(section: dict[str, Any]) -> Iterator[Payload]:
    every, limited = section["all"], section["limited"]
    for event, spec in section.items():
        if event in ("all", "limited"):
            continue
        if "kinds" not in spec:
            yield Payload(event, "", spec["about"], [_field(*each) for each in {**every, **spec["fields"]}.items()])
        for kind, one in spec.get("kinds", {}).items():
            fields = {**every, **one["fields"], **limited}
            yield Payload(event, kind, one["about"], [_field(*each) for each in fields.items()])


def _field(name: str, said: str) -> Field:
    kind, _, about = said.partition(": ")
    if kind.rstrip("?") not in _PYTHON or not about:
        raise SystemExit(f"contract.toml: {name} = {said!r} is no field of a system event")
    return Field(name, kind.rstrip("?"), kind.endswith("?"), about)


def _unions(all_: list[Payload]) -> dict[str, list[Payload]]:
    """Topics that have several kinds, by the name of their type."""
    unions: dict[str, list[Payload]] = {}
    for each in all_:
        if each.kind:
            unions.setdefault(f"System{each.event.capitalize()}Payload", []).append(each)
    return unions


def python_system_events(contract: dict[str, Any], note: str) -> str:
    """The module with a TypedDict for each payload."""
    lines = [f'"""Payloads of system events. {note}"""', "", "from __future__ import annotations", ""]
    lines += ["from datetime import datetime", "from typing import Final, Literal, NotRequired, TypedDict", ""]
    all_ = payloads(contract)
    for payload in all_:
        lines += ["", f"class {payload.name}(TypedDict):", f'    """{payload.about}"""', ""]
        if payload.kind:
            lines.append(f'    kind: Literal["{payload.kind}"]')
        for field in payload.fields:
            kind = _PYTHON[field.type]
            lines.append(f"    {field.name}: {f'NotRequired[{kind}]' if field.optional else kind}")
        lines.append("")
    for union, members in _unions(all_).items():
        lines += _python_union(union, members)
    lines += ["", "SYSTEM_EVENTS: Final[dict[tuple[str, str], dict[str, str]]] = {"]
    for payload in all_:
        lines.append(f'    ("{payload.topic}", "{payload.kind}"): {json.dumps(_table_of(payload))},')
    return "\n".join([*lines, "}"]) + "\n"


def _python_union(union: str, members: list[Payload]) -> list[str]:
    """One TypedDict for all kinds of a topic: a union of them is nothing that an annotation could validate."""
    fields = {field.name: _PYTHON[field.type] for member in members for field in member.fields}
    needed = [{field.name for field in member.fields if not field.optional} for member in members]
    always = set.intersection(*needed)
    kinds = ", ".join(member.kind for member in members)
    lines = [
        "",
        f"class {union}(TypedDict):",
        f'    """Any of them; `kind` says which: {kinds}."""',
        "",
        "    kind: str",
    ]
    for name, kind in fields.items():
        lines.append(f"    {name}: {kind if name in always else f'NotRequired[{kind}]'}")
    return [*lines, ""]


def node_system_events(contract: dict[str, Any], note: str) -> str:
    """The module with an interface for each payload."""
    lines, all_ = [f"// Payloads of system events. {note}", ""], payloads(contract)
    for payload in all_:
        lines += [f"/** {payload.about} */", f"export interface {payload.name} {{"]
        if payload.kind:
            lines.append(f'  kind: "{payload.kind}";')
        for field in payload.fields:
            lines.append(f"  /** {field.about[0].upper()}{field.about[1:]}. */")
            lines.append(f"  {field.name}{'?' if field.optional else ''}: {_NODE[field.type]};")
        lines += ["}", ""]
    for union, members in _unions(all_).items():
        lines += [f"export type {union} =", *(f"  | {member.name}" for member in members)]
        lines[-1] += ";"
        lines.append("")
    lines += ["/** Types of the fields of each payload, by topic, and kind if there is one. */"]
    lines += ["export const SYSTEM_EVENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {"]
    for payload in all_:
        name = f"{payload.topic} {payload.kind}".strip()
        lines.append(f"  {json.dumps(name)}: {json.dumps(_table_of(payload))},")
    return "\n".join([*lines, "};"]) + "\n"


def _table_of(payload: Payload) -> dict[str, str]:
    return {field.name: field.type + "?" * field.optional for field in payload.fields}


def spec_rows(contract: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The rows of SPEC.md's table: topic and kind, when, fields."""
    return [
        (
            f"`{payload.topic}`" + f" `{payload.kind}`" * bool(payload.kind),
            payload.about,
            "; ".join(
                f"`{field.name}` ({'maybe ' * field.optional}{field.type}): {field.about}" for field in _own(payload)
            ),
        )
        for payload in payloads(contract)
    ]


def _own(payload: Payload) -> list[Field]:
    return [field for field in payload.fields if field.name not in ("service", "instance", "left_out")]
