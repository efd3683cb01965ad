"""Roles on datasets and tables, as an administrator grants them."""

from __future__ import annotations

from ..administration import Forms, Rights, drops_state, known, plain
from .jobs import Project


class Administration:
    """The statements of an administrator."""

    def __init__(self, project: Project, email: str) -> None:
        self._project, self._account = project, f"serviceAccount:{email}"
        self._rights = Rights()
        self._forms = Forms(
            {
                "GRANT `roles/bigquery.dataViewer` ON SCHEMA {dataset} TO {account}": self._grant_reading,
                "REVOKE `roles/bigquery.dataViewer` ON SCHEMA {dataset} FROM {account}": self._revoke_reading,
                "GRANT `roles/bigquery.dataViewer` ON TABLE {table} TO {account}": self._grant_table,
                "GRANT `roles/bigquery.dataEditor` ON SCHEMA {dataset} TO {account}": self._grant_writing,
            }
        )

    def take(self, statement: str) -> bool:
        """Whether it is one of an administrator's statements, whose effect it has."""
        if drops_state(statement):
            self._project.read_only = True
        return self._forms.take(statement)

    def forget(self) -> None:
        """From now on the account may nothing that is not granted."""
        self._rights = Rights()
        self._project.denied, self._project.read_only = self._rights, True

    def _to(self, account: str) -> Rights:
        known(plain(account), {self._account})
        return self._rights

    def _dataset(self, name: str) -> str:
        """A dataset that is there."""
        project, _, dataset = plain(name).rpartition(".")
        known(project or self._project.name, {self._project.name})
        return known(dataset, self._project.datasets)

    def _grant_reading(self, dataset: str, account: str) -> None:
        self._to(account).schemas.add(self._dataset(dataset))

    def _revoke_reading(self, dataset: str, account: str) -> None:
        self._to(account).schemas.discard(self._dataset(dataset))

    def _grant_table(self, table: str, account: str) -> None:
        dataset, _, name = plain(table).rpartition(".")
        self._to(account).tables.add(f"{self._dataset(dataset)}.{name}")

    def _grant_writing(self, dataset: str, account: str) -> None:
        self._grant_reading(dataset, account)
        self._project.read_only = False
