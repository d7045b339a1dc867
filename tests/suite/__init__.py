"""The transport suite, by subject; `tests/transport_suite.py` runs it on every transport."""

from pathlib import Path

import pytest

# None of these is a file that pytest collects, so it has to be told that their asserts should explain themselves.
pytest.register_assert_rewrite(*(f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[a-z]*.py")))
