"""`python -m warehouses snowflake --port 0 --seed shop.sql`: starts one fake and runs until it is ended."""

from __future__ import annotations

import argparse
import json
import pathlib
import signal
import sys
import threading
from typing import Any

from .running import SERVICES, Running
from .wire import Place


def _on_demand(service: str) -> int:
    """Starts a fake for each line of the standard input, and ends all of them with it."""
    running: list[Running] = []
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            one = Running(service, Place(**asked.get("place", {})), asked["seed"], asked.get("tls", False))
        except (KeyError, TypeError, ValueError, OSError) as error:
            told: dict[str, Any] = {"error": str(error)}
        else:
            running.append(one)
            told = one.connection
        print(json.dumps(told), flush=True)
    for one in running:
        one.close()
    return 0


def main() -> int:
    """Starts the fake that the arguments name and prints one line of JSON: where it is, and its credentials."""
    parser = argparse.ArgumentParser(prog="warehouses", description="A strict fake of a cloud warehouse.")
    parser.add_argument("service", choices=sorted(SERVICES))
    parser.add_argument("--host", default="127.0.0.1", help="address of this machine that the service listens at")
    parser.add_argument("--port", type=int, default=0, help="port of the service; 0 takes a free one")
    parser.add_argument("--name", help="name of the service that its clients use, whom a proxy leads here")
    parser.add_argument("--seed", type=pathlib.Path, help="SQL in the service's dialect, run before it listens")
    parser.add_argument(
        "--on-demand",
        action="store_true",
        help='start one for each line of the standard input, {"seed": "…"}, and end with it; '
        '"place" {"host", "port", "name"} and "tls" may stand there, too',
    )
    parser.add_argument("--tls", action="store_true", help="serve HTTPS with a certificate made for this run")
    arguments = parser.parse_args()
    if arguments.on_demand:
        return _on_demand(arguments.service)
    seed = arguments.seed.read_text() if arguments.seed else None
    try:
        place = Place(arguments.host, arguments.port, arguments.name)
        running = Running(arguments.service, place, seed, arguments.tls)
    except (ValueError, OSError) as error:
        print(f"warehouses: {error}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with running:
        print(json.dumps(running.connection), flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
