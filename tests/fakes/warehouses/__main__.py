"""`python -m warehouses snowflake --port 0 --seed shop.sql`: starts one fake and runs until it is ended."""

from __future__ import annotations

import argparse
import json
import pathlib
import signal
import sys
import threading

from .running import SERVICES, Running


def _follow(ended: threading.Event) -> None:
    """Waits for the end of the standard input."""
    while sys.stdin.buffer.read(1024):
        pass
    ended.set()


def main() -> int:
    """Starts the fake that the arguments name and prints one line of JSON: where it is, and its credentials."""
    parser = argparse.ArgumentParser(prog="warehouses", description="A strict fake of a cloud warehouse on 127.0.0.1.")
    parser.add_argument("service", choices=sorted(SERVICES))
    parser.add_argument("--port", type=int, default=0, help="port of the service; 0 takes a free one")
    parser.add_argument("--seed", type=pathlib.Path, help="SQL in the service's dialect, run before it listens")
    parser.add_argument("--while-stdin", action="store_true", help="end when the standard input ends")
    parser.add_argument("--tls", action="store_true", help="serve HTTPS with a certificate made for this run")
    arguments = parser.parse_args()
    seed = arguments.seed.read_text() if arguments.seed else None
    try:
        running = Running(arguments.service, arguments.port, seed, arguments.tls)
    except (ValueError, OSError) as error:
        print(f"warehouses: {error}", file=sys.stderr)
        return 1
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if arguments.while_stdin:
        threading.Thread(target=_follow, args=(ended,), daemon=True).start()
    with running:
        print(json.dumps(running.connection), flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
