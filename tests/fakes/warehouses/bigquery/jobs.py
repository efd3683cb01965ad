"""Query jobs: what a job runs, and the resource that tells of it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import duckdb
from sqlglot import exp

from ..engine import Column, Cursor, Engine
from ..names import encode
from ..statements import Cancelled, Statement
from . import dialect, errors, values
from .errors import BigQueryError

CHANGES = ("INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE_TABLE")
TRANSACTION = {"BEGIN_TRANSACTION": "BEGIN", "COMMIT_TRANSACTION": "COMMIT", "ROLLBACK_TRANSACTION": "ROLLBACK"}
MINIMUM_BYTES = 10 * 1024 * 1024  # the least that is billed for a table of a query


@dataclass
class Outcome:
    """What a job produced."""

    query: dialect.Query
    schema: dict[str, Any] | None
    rows: list[tuple[Any, ...]]
    affected: dict[str, int] | None = None
    columns: list[Column] | None = None


@dataclass
class Asked:
    """What a request wants to have run."""

    sql: str
    dataset: str | None
    location: str | None
    maximum_bytes: int | None
    labels: dict[str, str]
    dry_run: bool
    parameters: tuple[tuple[str | None, str, str | None], ...] = ()


class Project:
    """The project's datasets, and who may see what."""

    def __init__(self, name: str, location: str, engine: Engine) -> None:
        self.name, self.location, self.engine = name, location, engine
        self.datasets: set[str] = set()
        self.denied: Container[str] = set()
        self.read_only = False
        cursor = engine.cursor()
        cursor.run(f"ATTACH ':memory:' AS \"{encode(name)}\"")
        cursor.close()

    def exists(self, cursor: Cursor, name: dialect.Name) -> bool:
        """Whether there is such a table or view; names are compared by case."""
        return cursor.has((encode(name[0]), encode(name[1]), encode(name[2])))

    def check_dataset(self, name: dialect.Name) -> None:
        """Refuses another project and an unknown dataset."""
        if name[0] != self.name:
            text = (
                f"Access Denied: Project {name[0]}: User does not have permission to query tables of project {name[0]}."
            )
            raise BigQueryError("accessDenied", text)
        if name[1] not in self.datasets:
            raise BigQueryError(
                "notFound", f"Not found: Dataset {name[0]}:{name[1]} was not found in location {self.location}"
            )


def quoted(name: tuple[str, ...]) -> str:
    """A name in the engine's SQL."""
    return ".".join('"' + encode(part).replace('"', '""') + '"' for part in name)


def run(project: Project, asked: Asked, statement: Statement | None, force: bool = False) -> Outcome:
    """Runs one query; a dry run stops before it executes."""
    queries = dialect.read(asked.sql, project.name, asked.dataset, asked.parameters)
    cursor = project.engine.cursor()
    if statement:
        cursor.attach(statement)
    try:
        if len(queries) > 1:
            return _script(project, queries, cursor, asked, force)
        query = queries[0]
        if query.statement_type != "SELECT" and not asked.dry_run:
            cursor.wait_for_writers()
        _check(project, query, cursor, asked, force)
        if asked.dry_run:
            return Outcome(query, _dry_schema(cursor, query), [])
        return _execute(project, query, cursor)
    except duckdb.Error as error:
        raise errors.of_engine(error) from error
    finally:
        cursor.close()


def _script(project: Project, queries: list[dialect.Query], cursor: Cursor, asked: Asked, force: bool) -> Outcome:
    """Statements one after another, with their transaction; the job's result is that of the last query."""
    last = Outcome(dialect.Query(queries[0].expression, "SCRIPT"), None, [])
    if asked.dry_run:
        return last
    cursor.wait_for_writers()
    within = False
    for query in queries:
        if query.statement_type in TRANSACTION:
            within = query.statement_type == "BEGIN_TRANSACTION"
            cursor.run(TRANSACTION[query.statement_type])
            continue
        if within and query.statement_type not in ("SELECT", *CHANGES):
            # Page "Multi-statement transactions": of DDL, only what is about temporary tables and functions.
            raise errors.query(f"{query.statement_type} is not supported in a transaction")
        _check(project, query, cursor, asked, force)
        done = _execute(project, query, cursor)
        if query.statement_type == "SELECT":
            last = Outcome(last.query, done.schema, done.rows)
    return last


def _check(project: Project, query: dialect.Query, cursor: Cursor, asked: Asked, force: bool) -> None:
    for name in [*query.reads, *([query.target] if query.target else [])]:
        project.check_dataset(name)
        full = f"{name[0]}:{name[1]}.{name[2]}"
        if asked.location and asked.location.lower() != project.location.lower():
            text = f"Not found: Dataset {name[0]}:{name[1]} was not found in location {asked.location}"
            raise BigQueryError("notFound", text)
        if f"{name[1]}.{name[2]}" in project.denied and not force:
            text = f"Access Denied: Table {full}: User does not have permission to query table {full}."
            raise BigQueryError("accessDenied", text)
    for name in query.reads:
        if not project.exists(cursor, name):
            text = f"Not found: Table {name[0]}:{name[1]}.{name[2]} was not found in location {project.location}"
            raise BigQueryError("notFound", text)
    if query.statement_type != "SELECT" and project.read_only and not force:
        where = f"{query.target[0]}:{query.target[1]}" if query.target else project.name
        text = f"Access Denied: Dataset {where}: Permission bigquery.tables.create denied on dataset {where}."
        raise BigQueryError("accessDenied", text)
    cost = MINIMUM_BYTES * len(set(query.reads))
    if asked.maximum_bytes is not None and cost > asked.maximum_bytes:
        text = f"Query exceeded limit for bytes billed: {asked.maximum_bytes}. {cost} or higher required."
        raise BigQueryError("bytesBilledLimitExceeded", text)


def _dry_schema(cursor: Cursor, query: dialect.Query) -> dict[str, Any] | None:
    if query.statement_type in CHANGES:
        cursor.run("EXPLAIN " + dialect.translate(query))
    if query.statement_type != "SELECT":
        return None
    described = cursor.run(f"SELECT * FROM ({dialect.translate(query)}) LIMIT 0")
    return values.schema(described.columns)


def _execute(project: Project, query: dialect.Query, cursor: Cursor) -> Outcome:
    if query.statement_type.endswith("_SCHEMA"):
        return _dataset(project, query, cursor)
    if query.target and query.statement_type != "SELECT":
        done = _target(project, query, cursor)
        if done:
            return done
    sql = dialect.translate(query)
    if query.statement_type == "MERGE":
        actions = [row[0] for row in cursor.run(f"{sql} RETURNING merge_action").rows]
        counts = {name: actions.count(name.upper()) for name in ("insert", "update", "delete")}
        return Outcome(query, None, [], counts)
    rows = cursor.run(sql)
    if query.statement_type in ("INSERT", "UPDATE", "DELETE"):
        return Outcome(query, None, [], {query.statement_type.lower(): int(rows.rows[0][0])})
    if query.statement_type == "SELECT":
        return Outcome(query, values.schema(rows.columns), rows.rows, None, rows.columns)
    if query.statement_type.startswith("CREATE_TABLE") and query.target:
        note(cursor, query.target, dialect.expiration(query.expression))
    return Outcome(query, None, [])


def _target(project: Project, query: dialect.Query, cursor: Cursor) -> Outcome | None:
    """The table that a statement creates, drops or changes has to be there, or not to be there."""
    assert query.target
    name, args = query.target, query.expression.args
    there = project.exists(cursor, name)
    if query.statement_type.startswith("CREATE"):
        if there and args.get("exists"):
            return Outcome(query, None, [])
        if there and not args.get("replace"):
            raise BigQueryError("duplicate", f"Already Exists: Table {name[0]}:{name[1]}.{name[2]}")
        return None
    if not there:
        if query.statement_type.startswith("DROP") and args.get("exists"):
            return Outcome(query, None, [])
        text = f"Not found: Table {name[0]}:{name[1]}.{name[2]} was not found in location {project.location}"
        raise BigQueryError("notFound", text)
    if query.statement_type.startswith("DROP"):
        cursor.run(f"DROP {args['kind']} {quoted(name)}")
        return Outcome(query, None, [])
    return None


def _dataset(project: Project, query: dialect.Query, cursor: Cursor) -> Outcome:
    table = query.expression.find(exp.Table)
    parts = [part for piece in (table.parts if table else []) for part in piece.name.split(".")]
    parts = [part for part in parts if part]
    name = (parts[0] if len(parts) > 1 else project.name, parts[-1])
    args = query.expression.args
    if query.statement_type == "CREATE_SCHEMA":
        if name[1] in project.datasets:
            if args.get("exists"):
                return Outcome(query, None, [])
            raise BigQueryError("duplicate", f"Already Exists: Dataset {name[0]}:{name[1]}")
        create_dataset(project, cursor, name[1])
        return Outcome(query, None, [])
    if name[1] not in project.datasets:
        if args.get("exists"):
            return Outcome(query, None, [])
        raise BigQueryError("notFound", f"Not found: Dataset {name[0]}:{name[1]}")
    drop_dataset(project, cursor, name[1], bool(args.get("cascade")))
    return Outcome(query, None, [])


def create_dataset(project: Project, cursor: Cursor, name: str) -> None:
    """A new dataset."""
    cursor.run(f"CREATE SCHEMA {quoted((project.name, name))}")
    project.datasets.add(name)


def drop_dataset(project: Project, cursor: Cursor, name: str, contents: bool) -> None:
    """Drops a dataset; one with tables only together with them."""
    held = cursor.run("SELECT 1 FROM duckdb_tables() WHERE schema_name = ?", [encode(name)]).rows
    if held and not contents:
        raise BigQueryError("invalid", f"Dataset {project.name}:{name} is still in use")
    cursor.run(f"DROP SCHEMA {quoted((project.name, name))} CASCADE")
    project.datasets.discard(name)


def note(cursor: Cursor, name: dialect.Name, expires: str | None) -> None:
    """Keeps beside a new table what the engine's catalog cannot say."""
    comment = json.dumps({"created": str(time.time()), "expires": expires}).replace("'", "''")
    cursor.run(f"COMMENT ON TABLE {quoted(name)} IS '{comment}'")


def resource(project: Project, email: str, job: Statement) -> dict[str, Any]:
    """The Job resource."""
    asked: Asked = job.extra["asked"]
    location = job.extra["location"]
    state = "RUNNING" if job.running else "DONE"
    query: dict[str, Any] = {"query": asked.sql, "useLegacySql": False, "priority": "INTERACTIVE"}
    statistics: dict[str, Any] = {
        "creationTime": str(int(job.created * 1000)),
        "startTime": str(int(job.created * 1000)),
    }
    status: dict[str, Any] = {"state": state}
    if job.ended:
        statistics["endTime"] = str(int(job.ended * 1000))
    failure = error_of(job)
    if failure:
        status |= {"errorResult": failure.proto(), "errors": [failure.proto()]}
    outcome: Outcome | None = job.result
    if outcome:
        statistics |= _statistics(outcome)
        query["destinationTable"] = destination(project, job, outcome)
    return {
        "kind": "bigquery#job",
        "etag": uuid.uuid4().hex,
        "id": f"{project.name}:{location}.{job.handle}",
        "selfLink": f"https://www.googleapis.com/bigquery/v2/projects/{project.name}/jobs/{job.handle}",
        "user_email": email,
        "configuration": {"jobType": "QUERY", "query": query, **({"labels": asked.labels} if asked.labels else {})},
        "jobReference": {"projectId": project.name, "jobId": job.handle, "location": location},
        "statistics": statistics,
        "status": status,
    }


def destination(project: Project, job: Statement, outcome: Outcome) -> dict[str, str]:
    """Where the result is: the statement's table, or an anonymous one."""
    name = outcome.query.target or (project.name, "_anonymous", "anon" + job.handle.replace("-", ""))
    return dict(zip(("projectId", "datasetId", "tableId"), name, strict=True))


def _statistics(outcome: Outcome) -> dict[str, Any]:
    cost = str(MINIMUM_BYTES * len(set(outcome.query.reads)))
    query: dict[str, Any] = {
        "statementType": outcome.query.statement_type,
        "totalBytesProcessed": cost,
        "totalBytesBilled": cost,
        "cacheHit": False,
    }
    if outcome.schema is not None:
        query["schema"] = outcome.schema
    if outcome.affected is not None:
        query["numDmlAffectedRows"] = str(sum(outcome.affected.values()))
        query["dmlStats"] = dml(outcome.affected)
    return {"totalBytesProcessed": cost, "query": query}


def dml(affected: dict[str, int]) -> dict[str, str]:
    """DmlStatistics."""
    words = {"insert": "insertedRowCount", "update": "updatedRowCount", "delete": "deletedRowCount"}
    return {word: str(affected[name]) for name, word in words.items() if name in affected}


def error_of(job: Statement) -> BigQueryError | None:
    """The error that ended a job, if one did."""
    if isinstance(job.error, Cancelled):
        return BigQueryError("stopped", "Job execution was cancelled: User requested cancellation")
    if isinstance(job.error, BigQueryError) or job.error is None:
        return job.error
    return BigQueryError("backendError", f"Internal error of the fake: {job.error}")
