"""Both languages give the same answers about recurring tasks, whatever they are asked."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

from tieline.cron.task import CronEvent, CronTask, Misfire, check_task, due, encode_task
from tieline.errors import InvalidArgumentError

PEER = Path(__file__).parents[1] / "peers/cron.mjs"
CASES = 3000
YEAR = 366 * 86_400_000
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "Etc/GMT+12",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Antarctica/Troll",
    "us/eastern",
    "Europe/None",
]
NAMED = ["@yearly", "@Monthly", "@WEEKLY", "@daily", "@hourly", "@never"]
# 12 hours before clocks are put forward or back in one of them, in 2026.
CHANGES = [
    1774699200000,
    1792843200000,
    1772906400000,
    1793466000000,
    1791000000000,
    1775260800000,
    1771070400000,
    1774094400000,
    1776945600000,
    1793275200000,
    1775264400000,
    1788616800000,
]


def term(dice: random.Random, least: int, most: int) -> str:
    low, high = sorted((dice.randint(least, most), dice.randint(least, most)))
    step = dice.randint(1, most - least + 1)
    some = ",".join(str(dice.randint(least, most)) for _ in range(dice.randint(1, 3)))
    return dice.choice(
        ["*", "*", "*", f"*/{step}", f"{low}", f"{low}-{high}", f"{low}-{high}/{step}", f"{low}/{step}", some]
    )


def expression(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.1:
        return f"every {dice.randint(0, 5000)}{dice.choice('smhdx')}"
    if kind < 0.15:
        return dice.choice(NAMED)
    day = dice.choice(["*", "*", term(dice, 1, 31), term(dice, 1, 31), "L", "LW", "29", "31"])
    month = dice.choice(["*", "*", term(dice, 1, 12), "FEB", "mar-Oct", "13"])
    last = f"{dice.randint(0, 7)}{dice.choice(['L', '#1', '#5', '#6'])}"
    weekday = dice.choice(["*", "*", term(dice, 0, 6), last, "MON-FRI", "sat-sun", "FRI-MON"])
    fields = [term(dice, 0, 59), term(dice, 0, 23), day, month, weekday]
    return " ".join([term(dice, 0, 59), *fields] if dice.random() < 0.3 else fields)


def question(dice: random.Random) -> dict[str, Any]:
    near = dice.choice(CHANGES) + dice.randint(0, 86_400_000)
    after = near if dice.random() < 0.6 else dice.randint(0, 130 * YEAR)
    return {
        "name": f"task{dice.randint(0, 99)}",
        "expression": expression(dice),
        "zone": dice.choice(ZONES),
        "jitter": dice.choice([0, 0, 1, 5_000, 3_600_000]),
        "start": dice.choice([0, 0, after - 12_345_678, after + 1]) if after > 12_345_678 else 0,
        "misfire": dice.choice(list(Misfire)).value,
        "grace": dice.choice([0, 60_000, 86_400_000]),
        "after": after,
        "now": after + dice.choice([1_000, 100_000, 10_000_000, YEAR]),
    }


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in asked.items() if name not in ("after", "now", "misfire")}
    task = CronTask(action=CronEvent("a"), misfire=Misfire(asked["misfire"]), **given)
    try:
        check_task(task)
    except InvalidArgumentError as error:
        return {"error": error.message, "field": error.details["field"]}
    times = task.cron.upcoming(asked["after"], 5, task.start)
    said: dict[str, Any] = {"times": times, "bytes": encode_task(task).hex()}
    if not times:
        return said
    found = due(task, times[0], asked["now"])
    fire = [task.fire_time(tick) for tick in found.ticks]
    return {**said, "ticks": found.ticks, "next": found.next, "missed": found.missed, "fire": fire}


def test_both_languages_say_the_same_of_what_is_drawn_by_lot() -> None:
    seed = os.environ.get("CRON_SEED") or str(random.SystemRandom().randrange(10**9))
    dice = random.Random(seed)
    asked = [question(dice) for _ in range(CASES)]
    lines = "".join(f"{json.dumps(one)}\n" for one in asked)
    told = subprocess.run(["node", str(PEER)], input=lines, capture_output=True, text=True, check=True, timeout=120)
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(answers) == CASES
    refused = 0
    for one, node in zip(asked, answers, strict=True):
        assert answer(one) == node, f"CRON_SEED={seed}: {one}"
        refused += "error" in node
    assert 0 < refused < CASES / 2
