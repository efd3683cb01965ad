"""Statements of administrators: which are taken, and what a user may who began with nothing."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ..administration import Forms, Rights, plain, statements
from ..running import Running
from .harness import Control


def test_a_statement_is_of_a_form_word_by_word() -> None:
    taken: list[dict[str, str]] = []
    forms = Forms({"GRANT SELECT ON {table} ({columns,}) TO {user}": lambda **given: taken.append(given)})
    assert forms.take("-- who reads\ngrant  select on [a].b (id,\n  [plan]) to `somebody`")
    assert taken == [{"table": "[a].b", "columns": "id,\n  [plan]", "user": "`somebody`"}]
    assert plain(taken[0]["table"]) == "a.b"
    for other in ("GRANT INSERT ON a (b) TO c", "GRANT SELECT ON a (b) TO c WITH OPTION", "GRANT SELECT ON a TO c"):
        assert not forms.take(other)


def test_statements_end_at_the_end_of_a_line() -> None:
    assert statements("SELECT 'a;b';\n-- nothing\n;\nSELECT 2;") == ["SELECT 'a;b'", "SELECT 2"]


def test_what_was_not_granted_is_denied() -> None:
    rights = Rights(usage=True)
    rights.tables.add("d.s.t")
    rights.future["d.s"] = {"d.s.old"}
    assert "d.s.t" in rights
    rights.used = {"d", "d.s"}
    assert [name in rights for name in ("d.s.t", "d.s.old", "d.s.new", "d.o.t", "d._backflow.t")] == [
        False, True, False, True, False,
    ]  # fmt: skip


ACCOUNT = '"serviceAccount:backflow@acme-test.iam.gserviceaccount.com"'
REFUSED = {
    "snowflake": [
        "GRANT USAGE ON DATABASE SHOP TO ROLE nobody",
        "GRANT SELECT ON ALL TABLES IN SCHEMA SHOP.NOWHERE TO ROLE made",
        "GRANT SELECT ON TABLE SHOP.PUBLIC.NOTHING TO ROLE made",
        "GRANT USAGE ON WAREHOUSE nothing TO ROLE made",
        "CREATE USER backflow TYPE = SERVICE DEFAULT_ROLE = nobody RSA_PUBLIC_KEY = 'AAAA'",
        "CREATE USER backflow TYPE = SERVICE DEFAULT_ROLE = made RSA_PUBLIC_KEY = 'AAAA'",
        "CREATE DATABASE shop",
        "GRANT DELETE ON TABLE SHOP.PUBLIC.CUSTOMERS TO ROLE made",
    ],
    "bigquery": [
        'GRANT `roles/bigquery.dataViewer` ON SCHEMA shop TO "user:somebody"',
        f"GRANT `roles/bigquery.dataViewer` ON SCHEMA nowhere TO {ACCOUNT}",
        f"GRANT `roles/bigquery.admin` ON SCHEMA shop TO {ACCOUNT}",
    ],
    "databricks": [
        "GRANT USE CATALOG ON CATALOG workspace TO `nobody`",
        "GRANT ALL PRIVILEGES ON SCHEMA workspace.shop TO `nobody`",
    ],
    "azuresql": [
        "CREATE USER backflow FOR LOGIN nobody",
        "GRANT SELECT ON SCHEMA::nowhere TO backflow",
        "GRANT SELECT ON dbo.customers (nothing) TO backflow",
    ],
}


@pytest.mark.parametrize("service", REFUSED)
def test_what_is_not_there_is_refused(service: str, request: pytest.FixtureRequest) -> None:
    fake = request.getfixturevalue({"bigquery": "bigquery_fake"}.get(service, service))
    if service == "snowflake":
        fake.warehouse.seed("CREATE ROLE made")
    for statement in REFUSED[service]:
        with pytest.raises(ValueError):
            fake.warehouse.seed(statement)


def test_a_user_of_snowflake_comes_with_a_key_and_begins_with_nothing() -> None:
    with Running("snowflake") as fake:
        control = Control(fake)
        control.settings(ungranted=True)
        account, user = fake.warehouse.account, fake.warehouse.users[0]  # type: ignore[attr-defined]
        assert (account.roles, account.warehouses) == (set(), {})
        key = rsa.generate_private_key(65537, 2048).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        text = base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()
        fake.warehouse.seed(
            "CREATE ROLE made;\n"
            f"CREATE USER backflow TYPE = SERVICE DEFAULT_ROLE = made RSA_PUBLIC_KEY = '{text}';\n"
            "GRANT ROLE made TO USER backflow;\nCREATE TABLE SHOP.PUBLIC.T (id INT);\n"
            "GRANT USAGE ON DATABASE SHOP TO ROLE made;\nGRANT SELECT ON ALL TABLES IN SCHEMA SHOP.PUBLIC TO ROLE made"
        )
        assert user.public_key().public_numbers() == key.public_numbers()
        assert account.roles == {"MADE"}
        assert "SHOP.PUBLIC.T" in account.denied
        fake.warehouse.seed("GRANT USAGE ON SCHEMA SHOP.PUBLIC TO ROLE made")
        assert "SHOP.PUBLIC.T" not in account.denied
