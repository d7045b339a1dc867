"""The raw link once more, with the client's frames: what batching alone is worth."""

from __future__ import annotations

from functools import partial

from bench.peers.load import play
from bench.peers.raw_link import FramedLink, call, serve

if __name__ == "__main__":
    play(serve=partial(serve, kind=FramedLink), call=partial(call, kind=FramedLink))
