"""The command that a person types."""

from __future__ import annotations

import json
import pathlib
import signal
import socket
import ssl
import subprocess
import sys

import pytest
import requests

ROOT = pathlib.Path(__file__).parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "warehouses", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("service", ["snowflake", "bigquery", "databricks", "clickhouse", "azuresql"])
def test_one_line_of_json_says_where_it_is_and_it_ends_when_told(service: str, tmp_path: pathlib.Path) -> None:
    seed = tmp_path / "shop.sql"
    seed.write_text("CREATE TABLE things AS SELECT 1 AS a;\n")
    process = start(service, "--port", "0", "--seed", str(seed))
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["service"] == service
    tables = requests.get(told["control"] + "/tables", timeout=10).json()
    assert [table.lower().endswith("things") for table in tables] == [True]
    if told["url"].startswith("http"):
        assert requests.get(told["url"] + "/", timeout=10).status_code in (401, 403, 404)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_one_is_started_for_each_line_and_all_end_with_the_standard_input() -> None:
    command = [sys.executable, "-m", "warehouses", "snowflake", "--on-demand"]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    told = []
    for asked in (
        {"seed": "CREATE TABLE one (a INT);"},
        {"seed": "", "place": {"host": "127.0.0.2", "name": "acme"}, "tls": True},
        {"seed": "SELECT farm_fingerprint('x')"},
        {"seed": "", "place": {"street": "none"}},
    ):
        print(json.dumps(asked), file=process.stdin, flush=True)
        told.append(json.loads(process.stdout.readline()))
    tables = [requests.get(one["control"] + "/tables", timeout=10).json() for one in told[:2]]
    assert tables == [["SHOP.PUBLIC.ONE"], []]
    assert told[0]["privateKey"] != told[1]["privateKey"]
    assert (told[1]["url"], told[1]["address"].partition(":")[0]) == ("https://acme", "127.0.0.2")
    assert "Unknown function FARM_FINGERPRINT" in told[2]["error"]
    assert "street" in told[3]["error"]
    process.stdin.close()
    assert process.wait(10) == 0


def test_it_listens_at_another_address_under_the_name_of_its_service() -> None:
    # Whoever is led there by a proxy finds the service's own name in certificate and links.
    name = "dbc-a1b2345c-d6e7.cloud.databricks.com"
    process = start("databricks", "--tls", "--host", "127.0.0.2", "--name", name)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    host, _, port = told["address"].partition(":")
    assert (told["url"], told["host"], host) == (f"https://{name}", name, "127.0.0.2")
    context = ssl.create_default_context(cadata=told["certificateAuthority"])
    for proven in (name, "127.0.0.2", "localhost"):
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=proven) as wrapped,
        ):
            wrapped.sendall(b"GET /oidc/.well-known/oauth-authorization-server HTTP/1.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: wrapped.recv(4096), b""))
        assert f'"https://{name}/oidc/v1/token"'.encode() in answer
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_wrong_seed_is_told_and_nothing_listens(tmp_path: pathlib.Path) -> None:
    seed = tmp_path / "wrong.sql"
    seed.write_text("SELECT farm_fingerprint('x')")
    process = start("snowflake", "--seed", str(seed))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "Unknown function FARM_FINGERPRINT" in err
