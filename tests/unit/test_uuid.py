"""Identities: unique, sorted by time, and not to be guessed."""

from __future__ import annotations

import os
import time
import uuid

from tieline.envelope import new_call_id, new_id, new_instance


def test_an_id_is_a_uuid_of_version_7_that_says_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(new_id()) for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert all(before <= each.int >> 80 <= after for each in made)


def test_ids_are_written_as_uuids_are() -> None:
    made = new_id()
    assert str(uuid.UUID(made)) == made


def test_ids_are_sorted_as_they_were_made_within_a_millisecond_too() -> None:
    made = [new_id() for _ in range(20_000)]
    time.sleep(0.002)
    made += [new_id() for _ in range(1_000)]
    assert made == sorted(made)


def test_every_bit_of_a_call_id_is_random() -> None:
    ones = zeroes = (1 << 128) - 1
    for _ in range(500):
        value = int.from_bytes(new_call_id(), "big")
        ones &= value
        zeroes &= ~value
    assert (ones, zeroes) == (0, 0)


def test_identities_do_not_repeat() -> None:
    count = 20_000
    assert len({new_id() for _ in range(count)}) == count
    assert len({new_call_id() for _ in range(count)}) == count
    assert len({new_instance() for _ in range(count)}) == count


def test_call_ids_have_16_bytes_and_instances_16_digits() -> None:
    assert len(new_call_id()) == 16
    assert len(new_instance()) == 16
    assert int(new_instance(), 16) >= 0


def test_a_forked_child_does_not_repeat_its_parents_identities() -> None:
    new_id(), new_call_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        made = [new_call_id().hex() for _ in range(50)] + [new_id() for _ in range(50)]
        os.write(writing, " ".join(made).encode())
        os._exit(0)
    ours = {new_call_id().hex() for _ in range(300)} | {new_id() for _ in range(300)}
    os.close(writing)
    os.waitpid(child, 0)
    theirs = os.read(reading, 8_192).decode().split()
    os.close(reading)
    assert len(theirs) == 100
    assert not ours & set(theirs)
