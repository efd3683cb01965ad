"""The command that a person types."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys

import pytest
import requests

ROOT = pathlib.Path(__file__).parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "warehouses", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("service", ["snowflake", "bigquery", "databricks", "clickhouse"])
def test_one_line_of_json_says_where_it_is_and_it_ends_when_told(service: str, tmp_path: pathlib.Path) -> None:
    seed = tmp_path / "shop.sql"
    seed.write_text("CREATE TABLE things AS SELECT 1 AS a;\n")
    process = start(service, "--port", "0", "--seed", str(seed))
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["service"] == service
    tables = requests.get(told["control"] + "/tables", timeout=10).json()
    assert [table.lower().endswith("things") for table in tables] == [True]
    assert requests.get(told["url"] + "/", timeout=10).status_code in (401, 403, 404)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_it_ends_with_its_standard_input() -> None:
    command = [sys.executable, "-m", "warehouses", "snowflake", "--while-stdin"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    assert json.loads(process.stdout.readline())["service"] == "snowflake"
    process.stdin.close()
    assert process.wait(10) == 0


def test_wrong_seed_is_told_and_nothing_listens(tmp_path: pathlib.Path) -> None:
    seed = tmp_path / "wrong.sql"
    seed.write_text("SELECT farm_fingerprint('x')")
    process = start("snowflake", "--seed", str(seed))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "Unknown function FARM_FINGERPRINT" in err
