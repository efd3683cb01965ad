"""Users and grants, as an administrator makes them."""

from __future__ import annotations

from collections.abc import Callable

from ..administration import Forms, Rights, known, plain
from .engine import Engine
from .settings import Settings


class Administration:
    """The statements of an administrator. `change` takes the password of a user."""

    def __init__(self, engine: Engine, settings: Settings, user: str, change: Callable[[str], None]) -> None:
        self._engine, self._settings, self._user, self._change = engine, settings, user, change
        state = "SHOW TABLES, CREATE TABLE, SELECT, INSERT, ALTER DELETE ON _backflow.*"
        self._forms = Forms(
            {
                "CREATE USER {user} IDENTIFIED WITH sha256_password BY '{password}'": self._create_user,
                "GRANT SELECT ON {database}.* TO {user}": self._grant_database,
                "GRANT SELECT({columns,}) ON {table} TO {user}": self._grant_columns,
                f"GRANT {state} TO {{user}}": self._grant_state,
                "REVOKE ALL ON *.* FROM {user}": self._revoke_all,
            }
        )

    def take(self, statement: str) -> bool:
        """Whether it is one of an administrator's statements, whose effect it has."""
        return self._forms.take(statement)

    def forget(self) -> None:
        """From now on the user may nothing that is not granted."""
        self._settings.rights, self._settings.read_only = Rights(), True

    def _create_user(self, user: str, password: str) -> None:
        self._known(user)
        self._change(password)

    def _revoke_all(self, user: str) -> None:
        self._known(user)
        self.forget()

    def _known(self, user: str) -> None:
        known(plain(user), {self._user})

    def _to(self, user: str) -> Rights:
        self._known(user)
        return self._settings.rights or Rights()

    def _grant_database(self, database: str, user: str) -> None:
        self._to(user).schemas.add(known(plain(database), self._engine.text("SHOW DATABASES").split("\n")))

    def _grant_columns(self, columns: str, table: str, user: str) -> None:
        # That there are such columns; which of them are read is not looked at.
        self._engine.text(f"SELECT {columns} FROM {table} LIMIT 0")
        self._to(user).tables.add(plain(table))

    def _grant_state(self, user: str) -> None:
        self._to(user)
        self._settings.read_only = False
