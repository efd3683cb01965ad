"""Tables and datasets as resources."""

from __future__ import annotations

import json
from typing import Any

from ..engine import Cursor
from ..names import decode, encode
from . import jobs, values
from .errors import BigQueryError
from .jobs import Project


def dataset(project: Project, name: str) -> dict[str, Any]:
    """The Dataset resource."""
    return {
        "kind": "bigquery#dataset",
        "id": f"{project.name}:{name}",
        "datasetReference": {"datasetId": name, "projectId": project.name},
        "location": project.location,
    }


def create_dataset(project: Project, body: dict[str, Any]) -> dict[str, Any]:
    """A new dataset, in the project's location."""
    name = body["datasetReference"]["datasetId"]
    if body.get("location", project.location).lower() != project.location.lower():
        raise BigQueryError("invalid", f"This fake has the location {project.location} only")
    if project.read_only:
        text = f"Access Denied: Project {project.name}: User does not have bigquery.datasets.create permission."
        raise BigQueryError("accessDenied", text)
    if name in project.datasets:
        raise BigQueryError("duplicate", f"Already Exists: Dataset {project.name}:{name}")
    cursor = project.engine.cursor()
    jobs.create_dataset(project, cursor, name)
    cursor.close()
    return dataset(project, name)


def drop_dataset(project: Project, name: str, contents: bool) -> None:
    """Drops a dataset."""
    project.check_dataset((project.name, name, ""))
    cursor = project.engine.cursor()
    try:
        jobs.drop_dataset(project, cursor, name, contents)
    finally:
        cursor.close()


def listed(project: Project, name: str) -> list[dict[str, Any]]:
    """Members of a table list."""
    project.check_dataset((project.name, name, ""))
    cursor = project.engine.cursor()
    found = cursor.run("SELECT table_name FROM duckdb_tables() WHERE schema_name = ? ORDER BY 1", [encode(name)]).rows
    cursor.close()
    return [_reference(project, name, decode(row[0])) for row in found]


def _reference(project: Project, dataset_name: str, name: str) -> dict[str, Any]:
    return {
        "kind": "bigquery#table",
        "id": f"{project.name}:{dataset_name}.{name}",
        "tableReference": {"projectId": project.name, "datasetId": dataset_name, "tableId": name},
        "type": "TABLE",
    }


def _open(project: Project, dataset_name: str, name: str) -> Cursor:
    """A cursor for a table that must be there and visible."""
    full = (project.name, dataset_name, name)
    project.check_dataset(full)
    cursor = project.engine.cursor()
    if f"{dataset_name}.{name}" in project.denied:
        cursor.close()
        text = f"Access Denied: Table {full[0]}:{dataset_name}.{name}: Permission bigquery.tables.get denied on table."
        raise BigQueryError("accessDenied", text)
    if not project.exists(cursor, full):
        cursor.close()
        raise BigQueryError("notFound", f"Not found: Table {full[0]}:{dataset_name}.{name}")
    return cursor


def table(project: Project, dataset_name: str, name: str) -> dict[str, Any]:
    """The Table resource."""
    cursor = _open(project, dataset_name, name)
    full = jobs.quoted((project.name, dataset_name, name))
    columns = cursor.run(f"SELECT * FROM {full} LIMIT 0").columns
    count = cursor.run(f"SELECT COUNT(*) FROM {full}").rows[0][0]
    noted = cursor.run(
        "SELECT comment FROM duckdb_tables() WHERE schema_name = ? AND table_name = ?",
        [encode(dataset_name), encode(name)],
    ).rows
    cursor.close()
    notes = json.loads(noted[0][0]) if noted and noted[0][0] else {"created": "0"}
    return {
        **_reference(project, dataset_name, name),
        "schema": values.schema(columns),
        "numRows": str(count),
        "numBytes": str(count * 64),
        "creationTime": str(int(float(notes["created"]) * 1000)),
        "location": project.location,
    }


def drop(project: Project, dataset_name: str, name: str) -> None:
    """Drops a table."""
    cursor = _open(project, dataset_name, name)
    cursor.run(f"DROP TABLE {jobs.quoted((project.name, dataset_name, name))}")
    cursor.close()


def rows(
    project: Project, dataset_name: str, name: str, selected: str | None
) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    """A table's rows in the order of the table, of all columns or of the selected ones."""
    cursor = _open(project, dataset_name, name)
    full = jobs.quoted((project.name, dataset_name, name))
    known = {column.name.lower() for column in cursor.run(f"SELECT * FROM {full} LIMIT 0").columns}
    wanted = selected.split(",") if selected else []
    for column in wanted:
        if column.lower() not in known:
            cursor.close()
            raise BigQueryError("invalid", f"Field {column} not found in table {dataset_name}.{name}", "selectedFields")
    columns = ", ".join(f'"{column}"' for column in wanted) or "*"
    found = cursor.run(f"SELECT {columns} FROM {full}")
    cursor.close()
    return values.schema(found.columns), found.rows
