"""Figures as Prometheus reads them, read by Prometheus's own parser."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tieline import EventSystem, TielineError, testing
from tieline._contract.contract import DURATION_SHOWN_NS, METRICS
from tieline.durable.groups import Group
from tieline.prometheus import exposition


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Metric, sample: str = "") -> dict[tuple[str, ...], float]:
    """Of each sample of a name, by its labels."""
    name = family.name + sample
    return {tuple(one.labels.values()): one.value for one in family.samples if one.name == name}


async def busy(events: testing.System) -> str:
    events.subscribe("shop.sum", lambda data: data)
    events.subscribe("shop.*", lambda data: None, group="audit")
    events.subscribe("shop.stored", lambda data: None, durable=True)
    for subscription in events.subscriptions:
        await events.registered(subscription)
    for number in range(4):
        await events.publish_and_wait("shop.sum", number)
    await events.publish("shop.sum", 1)
    await events.publish("shop.stored", 1, key="k")
    with pytest.raises(TielineError):
        await events.publish_and_wait("nobody")
    for number in range(3):
        await events.publish("later", number, delay=60 * (1 + number))
    await events.schedules.cancel((await events.publish("later", 3, delay=600)).id)
    await events.clock.advance(70)
    async with await events.record("sqlite:///:memory:"):
        return await events.prometheus(groups=True, schedules=True)


async def test_prometheus_reads_what_was_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with testing.system() as events:
        families = parsed(await busy(events))
    assert values(families["tieline_events_published"], "_total") == {
        ("shop.sum", "call"): 4,
        ("shop.sum", "live"): 1,
        ("shop.stored", "durable"): 1,
        ("nobody", "call"): 1,
    }
    delivered = values(families["tieline_events_delivered"], "_total")
    assert delivered[("shop.sum", "", "call")] == 4
    assert delivered[("shop.sum", "audit", "live")] == 1
    assert delivered[("shop.stored", "default", "durable")] == 1
    assert values(families["tieline_call_errors"], "_total") == {("NO_RESPONDERS",): 1}
    assert values(families["tieline_connected"]) == {(): 1}
    assert values(families["tieline_gaps"], "_total") == {(): 0}
    assert values(families["tieline_schedules_planned"], "_total") == {(): 4}
    assert values(families["tieline_schedules_delivered"], "_total") == {(): 1}
    assert values(families["tieline_schedules_cancelled"], "_total") == {(): 1}
    ended = {("delivered",): 1, ("failed",): 0, ("expired",): 0, ("cancelled",): 1}
    assert values(families["tieline_schedules"]) == {("pending",): 2, **ended}
    assert values(families["tieline_recorder_waiting"]) == {(): 0}
    assert values(families["tieline_group_waiting"]) == {("shop.stored", "default"): 0}


async def test_every_metric_of_the_contract_is_told_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    async with testing.system() as events:
        families = parsed(await busy(events))
    assert set(families) == {spec.exposed.removesuffix("_total") for spec in METRICS.values()}
    for spec in METRICS.values():
        family = families[spec.exposed.removesuffix("_total")]
        assert (family.type, family.documentation) == (spec.type, spec.help)
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert labels == set(spec.labels), spec


async def test_histograms_have_the_buckets_of_the_contract_and_only_grow() -> None:
    async with testing.system() as events:
        events.subscribe("slow", lambda data, event: event.clock.sleep(data))
        for seconds in (0.0, 0.001, 0.3, 3.0, 90.0):
            handled = asyncio.create_task(events.publish("slow", seconds, wait_local=True))
            await events.clock.advance(100.0)
            await handled
        family = parsed(exposition(events.metrics()))["tieline_event_handle_time_seconds"]
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    assert [one.labels["le"] for one in buckets] == [*(f"{bound / 1e9:g}" for bound in DURATION_SHOWN_NS), "+Inf"]
    below = {one.labels["le"]: one.value for one in buckets}
    assert [below[le] for le in ("0.0001", "0.001", "0.25", "0.5", "5", "25", "+Inf")] == [1, 2, 2, 3, 4, 4, 5]
    assert values(family, "_count") == {("slow", "", "live"): 5}
    assert values(family, "_sum")[("slow", "", "live")] == pytest.approx(93.301)


def test_labels_are_escaped() -> None:
    group = Group("a", 'say "hi"\\\n', datetime.now(UTC), 1, 2, 3, 4, 5.5)
    families = parsed(exposition(EventSystem("memory://").metrics(), [group]))
    assert values(families["tieline_group_oldest_seconds"]) == {("a", 'say "hi"\\\n'): 5.5}
    assert values(families["tieline_group_keys"]) == {("a", 'say "hi"\\\n'): 1}


async def test_asking_for_groups_needs_no_durable_events() -> None:
    async with EventSystem("memory://") as events:
        await events.publish("a")
        assert "tieline_group" not in await events.prometheus(groups=True)
