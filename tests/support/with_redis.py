"""Run a command beside one private server: `python -m tests.support.with_redis COMMAND…`.

The command finds the server in TEST_REDIS_URL, and in TEST_REDIS_SERVER the program, should it want others. The Node
tests run this way.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.servers import RedisServer


def main() -> int:
    """Run the command and return its exit code."""
    with RedisServer() as server:
        print(f"redis server: {server.version} ({server.binary})", flush=True)
        found = {"TEST_REDIS_URL": server.url, "TEST_REDIS_SERVER": str(server.binary)}
        return subprocess.run(sys.argv[1:], env={**os.environ, **found}).returncode


if __name__ == "__main__":
    sys.exit(main())
