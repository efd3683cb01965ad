"""Privileges of Unity Catalog, as an administrator grants them."""

from __future__ import annotations

from ..administration import Forms, Rights, drops_state, known, plain
from .execute import CATALOG, Workspace


class Administration:
    """The statements of an administrator."""

    def __init__(self, workspace: Workspace, principal: str) -> None:
        self._workspace, self._principal = workspace, principal
        self._rights = Rights(usage=True)
        state = "USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA {schema}"
        self._forms = Forms(
            {
                "GRANT USE CATALOG ON CATALOG {catalog} TO {principal}": self._grant_catalog,
                "GRANT USE SCHEMA, SELECT ON SCHEMA {schema} TO {principal}": self._grant_reading,
                "REVOKE SELECT ON SCHEMA {schema} FROM {principal}": self._revoke_reading,
                "GRANT SELECT ON TABLE {table} TO {principal}": self._grant_table,
                f"GRANT {state} TO {{principal}}": self._grant_writing,
            }
        )

    def take(self, statement: str) -> bool:
        """Whether it is one of an administrator's statements, whose effect it has."""
        if drops_state(statement):
            self._workspace.read_only = True
        return self._forms.take(statement)

    def forget(self) -> None:
        """From now on the principal may nothing that is not granted."""
        self._rights = Rights(usage=True)
        self._workspace.denied, self._workspace.read_only = self._rights, True

    def _to(self, principal: str) -> Rights:
        known(plain(principal), {self._principal})
        return self._rights

    def _schema(self, name: str) -> str:
        """A schema that is there."""
        catalog, _, schema = plain(name).lower().rpartition(".")
        return f"{known(catalog, {CATALOG})}.{known(schema, self._workspace.schemas)}"

    def _use(self, place: str, principal: str) -> None:
        used = self._to(principal).used
        if used is not None:
            used.add(place)

    def _grant_catalog(self, catalog: str, principal: str) -> None:
        self._use(known(plain(catalog).lower(), {CATALOG}), principal)

    def _grant_reading(self, schema: str, principal: str) -> None:
        self._use(self._schema(schema), principal)
        self._rights.schemas.add(self._schema(schema))

    def _revoke_reading(self, schema: str, principal: str) -> None:
        self._to(principal).schemas.discard(self._schema(schema))

    def _grant_table(self, table: str, principal: str) -> None:
        schema, _, name = plain(table).lower().rpartition(".")
        self._to(principal).tables.add(f"{self._schema(schema)}.{name}")

    def _grant_writing(self, schema: str, principal: str) -> None:
        self._grant_reading(schema, principal)
        self._workspace.read_only = False
