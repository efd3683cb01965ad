"""Logins, users and grants, as an administrator makes them."""

from __future__ import annotations

from collections.abc import Callable

from ..administration import Forms, Rights, known, plain
from .execute import Database


class Administration:
    """The statements of an administrator. `change` takes the password of a login."""

    def __init__(self, database: Database, login: str, application: str, change: Callable[[str], None]) -> None:
        self._database, self._login, self._application, self._change = database, login, application, change
        self._rights = Rights()
        self._logins: set[str] = set()
        self._users: set[str] = set()
        state = "ALTER, SELECT, INSERT, UPDATE, DELETE ON SCHEMA::{schema}"
        self._forms = Forms(
            {
                "CREATE LOGIN {login} WITH PASSWORD = '{password}'": self._create_login,
                "CREATE USER {user} FOR LOGIN {login}": self._create_user,
                "CREATE USER {user} FROM EXTERNAL PROVIDER": self._create_external,
                "GRANT SELECT ON SCHEMA::{schema} TO {user}": self._grant_reading,
                "REVOKE SELECT ON SCHEMA::{schema} FROM {user}": self._revoke_reading,
                "GRANT SELECT ON {table} ({columns,}) TO {user}": self._grant_columns,
                "GRANT CREATE TABLE TO {user}": self._to,
                "REVOKE CREATE TABLE FROM {user}": self._to,
                f"GRANT {state} TO {{user}}": self._grant_writing,
                f"REVOKE {state} FROM {{user}}": self._revoke_writing,
            }
        )

    def take(self, statement: str) -> bool:
        """Whether it is one of an administrator's statements, whose effect it has."""
        return self._forms.take(statement)

    def forget(self) -> None:
        """From now on the user may nothing that is not granted."""
        self._rights = Rights()
        self._database.denied, self._database.read_only = self._rights, True

    def _create_login(self, login: str, password: str) -> None:
        self._logins.add(known(plain(login), {self._login}))
        self._change(password)

    def _create_user(self, user: str, login: str) -> None:
        self._users.add(known(plain(user), {known(plain(login), self._logins)}))

    def _create_external(self, user: str) -> None:
        self._users.add(known(plain(user), {self._application}))

    def _to(self, user: str) -> Rights:
        known(plain(user), self._users)
        return self._rights

    def _schema(self, name: str) -> str:
        """A schema that is there."""
        schema = plain(name).lower()
        cursor = self._database.engine.cursor()
        try:
            return known(schema, {schema} if self._database.has_schema(cursor, schema) else set())
        finally:
            cursor.close()

    def _grant_reading(self, schema: str, user: str) -> None:
        self._to(user).schemas.add(self._schema(schema))

    def _revoke_reading(self, schema: str, user: str) -> None:
        self._to(user).schemas.discard(self._schema(schema))

    def _grant_columns(self, table: str, columns: str, user: str) -> None:
        # That there are such columns; which of them are read is not looked at.
        schema, _, name = plain(table).lower().partition(".")
        there = {column.lower() for column, _ in self._database.catalog.get((schema, name), [])}
        for column in plain(columns).lower().split(","):
            known(column.strip(), there)
        self._to(user).tables.add(f"{schema}.{name}")

    def _grant_writing(self, schema: str, user: str) -> None:
        self._to(user)
        self._schema(schema)
        self._database.read_only = False

    def _revoke_writing(self, schema: str, user: str) -> None:
        self._grant_writing(schema, user)
        self._database.read_only = True
