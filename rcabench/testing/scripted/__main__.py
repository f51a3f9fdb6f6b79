"""A scripted server on the command line: `python -m rcabench.testing.scripted --port 8177 --policy strongest`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from rcabench.testing.scripted.exchange import Policy
from rcabench.testing.scripted.fuzz import Fuzz
from rcabench.testing.scripted.server import ScriptedServer
from rcabench.testing.scripted.strongest import Strongest


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; the first line printed is the URL."""
    parser = argparse.ArgumentParser(
        prog="python -m rcabench.testing.scripted",
        description="Answers as a language model's server, by a policy. What it answers says nothing of any model.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--policy", choices=("strongest", "fuzz"), default="strongest")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before every answer")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzz policy")
    asked = parser.parse_args(arguments)
    policy: Policy = Strongest() if asked.policy == "strongest" else Fuzz(seed=asked.seed)
    try:
        asyncio.run(_serve(ScriptedServer(policy, port=asked.port, latency=asked.latency)))
    except OSError as error:
        print(f"port {asked.port} cannot be listened on: {error}; choose another with --port", file=sys.stderr)
        return 1
    return 0


async def _serve(server: ScriptedServer) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        print(server.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    sys.exit(main())
