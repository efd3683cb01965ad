"""BigQuery's operations: jobs, results, tables, datasets, and the token endpoints beside them."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from ..administration import statements
from ..engine import Engine
from ..names import DECODE_MACRO, decode
from ..parsing import SyntaxRefused, parse
from ..statements import Statement, StatementBoard
from ..wire import Request, Response
from . import errors, jobs, requests, tables
from .administration import Administration
from .auth import Authenticator
from .dialect import DIALECT
from .errors import BigQueryError
from .functions import MACROS
from .pages import Pages

ROOT = "/bigquery/v2/projects"
Handler = Callable[..., Response]
DEFAULT_WAIT_MS = 10_000
MAX_WAIT_MS = 200_000


class BigQuery:
    """One project with one service account."""

    def __init__(self, project: str = "acme-test", location: str = "EU") -> None:
        self.board = StatementBoard()
        self.auth = Authenticator(project)
        self._engine = Engine((DECODE_MACRO, *MACROS))
        self.project = jobs.Project(project, location, self._engine)
        self._administration = Administration(self.project, self.auth.email)
        self._pages = Pages()
        self._requests: dict[str, str] = {}
        self.seed("CREATE SCHEMA shop")
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = [
            (method, re.compile(f"{ROOT}/([^/]+){path}"), handler)
            for method, path, handler in (
                ("POST", "/queries", self._query),
                ("GET", "/queries/([^/]+)", self._results),
                ("POST", "/jobs", self._insert),
                ("GET", "/jobs", self._list_jobs),
                ("GET", "/jobs/([^/]+)", self._job),
                ("POST", "/jobs/([^/]+)/cancel", self._cancel),
                ("GET", "/datasets", self._list_datasets),
                ("POST", "/datasets", self._create_dataset),
                ("GET", "/datasets/([^/]+)", self._dataset),
                ("DELETE", "/datasets/([^/]+)", self._drop_dataset),
                ("GET", "/datasets/([^/]+)/tables", self._list_tables),
                ("GET", "/datasets/([^/]+)/tables/([^/]+)", self._table),
                ("DELETE", "/datasets/([^/]+)/tables/([^/]+)", self._drop_table),
                ("GET", "/datasets/([^/]+)/tables/([^/]+)/data", self._rows),
            )
        ]

    def handle(self, request: Request) -> Response:
        """Answers one request."""
        if request.path == "/token" and request.method == "POST":
            return self.auth.token_endpoint(request)
        if request.path.startswith("/v1/projects/-/serviceAccounts/") and request.method == "POST":
            try:
                return self.auth.impersonate(request)
            except BigQueryError as error:
                return error.response()
        if request.path.startswith("/computeMetadata/v1") and request.method == "GET":
            return self.auth.metadata_server(request)
        try:
            methods = [(method, path.fullmatch(request.path), run) for method, path, run in self._routes]
            matching = [(method, found, run) for method, found, run in methods if found]
            chosen = next((entry for entry in matching if entry[0] == request.method), None)
            if chosen is None:
                # Google's front end answers an unknown URL and a wrong method alike, with a page.
                return Response(
                    404,
                    {"Content-Type": "text/html; charset=UTF-8"},
                    b"<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>",
                )
            self.auth.check(request)
            _, found, run = chosen
            assert found
            project, *rest = found.groups()
            if project != self.project.name:
                text = f"Access Denied: Project {project}: User does not have bigquery.jobs.create permission in it."
                raise BigQueryError("accessDenied", text)
            return run(request, *rest)
        except BigQueryError as error:
            return error.response()

    def throttled(self, retry_after: int | None) -> Response:
        """Too many requests."""
        text = "Exceeded rate limits: too many api requests per user per method for this user_method."
        response = errors.body(429, "RESOURCE_EXHAUSTED", text, "rateLimitExceeded")
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        return response

    def unauthorized(self) -> Response:
        """A token that just expired."""
        return errors.unauthorized().response()

    def unavailable(self, status: int) -> Response:
        """A server error."""
        return errors.body(
            status, "UNAVAILABLE", "Error encountered during execution. Retrying may solve the problem.", "backendError"
        )

    # Jobs.

    def _asked(self, body: dict[str, Any], location: str | None, dry_run: bool, labels: dict[str, str]) -> jobs.Asked:
        if body.get("useLegacySql", True):
            raise errors.query("This fake runs no legacy SQL: useLegacySql is true unless the request says false")
        dataset = body.get("defaultDataset") or {}
        if dataset.get("projectId", self.project.name) != self.project.name:
            raise BigQueryError("notFound", f"Not found: Project {dataset['projectId']}")
        if dataset and dataset["datasetId"] not in self.project.datasets:
            name = f"{self.project.name}:{dataset['datasetId']}"
            raise BigQueryError(
                "notFound", f"Not found: Dataset {name} was not found in location {self.project.location}"
            )
        limit = body.get("maximumBytesBilled")
        return jobs.Asked(
            sql=body["query"],
            dataset=dataset.get("datasetId"),
            location=location,
            maximum_bytes=None if limit is None else int(limit),
            labels=labels,
            dry_run=dry_run,
            parameters=requests.query_parameters(body),
        )

    def _start(self, asked: jobs.Asked, handle: str) -> Statement:
        job = Statement(handle, self.auth.email, asked.sql, lambda own: jobs.run(self.project, asked, own))
        job.extra = {"asked": asked, "location": asked.location or self.project.location}
        self.board.submit(job)
        return job

    def _query(self, request: Request) -> Response:
        requests.parameters(request, {})
        body = requests.body(request, requests.QUERY)
        asked = self._asked(body, body.get("location"), body.get("dryRun", False), body.get("labels", {}))
        if asked.dry_run:
            outcome = jobs.run(self.project, asked, None)
            cost = str(jobs.MINIMUM_BYTES * len(set(outcome.query.reads)))
            done = {
                "kind": "bigquery#queryResponse",
                "jobComplete": True,
                "totalBytesProcessed": cost,
                "cacheHit": False,
            }
            return Response.json(
                200,
                {
                    **done,
                    "schema": outcome.schema or {},
                    "jobReference": {"projectId": self.project.name, "location": self.project.location},
                },
            )
        before = self.board.find(self._requests.get(body.get("requestId", ""), ""))
        if before and before.extra["asked"] != asked:
            raise BigQueryError("invalid", "The requestId was used by another request", "requestId")
        job = before or self._start(asked, "job_" + secrets.token_urlsafe(20))
        if body.get("requestId"):
            self._requests[body["requestId"]] = job.handle
        return self._page(job, "bigquery#queryResponse", body.get("formatOptions", {}), body, body.get("timeoutMs"))

    def _insert(self, request: Request) -> Response:
        requests.parameters(request, {})
        body = requests.body(request, requests.INSERT)
        configuration, reference = body["configuration"], body.get("jobReference", {})
        if reference.get("projectId", self.project.name) != self.project.name:
            raise BigQueryError("invalid", "Value for projectId in the URL and in the jobReference do not agree")
        asked = self._asked(
            configuration["query"],
            reference.get("location"),
            configuration.get("dryRun", False),
            configuration.get("labels", {}),
        )
        if asked.dry_run:
            return self._dry_run(asked)
        handle = reference.get("jobId") or str(uuid.uuid4())
        if self.board.find(handle):
            raise BigQueryError(
                "duplicate", f"Already Exists: Job {self.project.name}:{self.project.location}.{handle}"
            )
        return Response.json(200, jobs.resource(self.project, self.auth.email, self._start(asked, handle)))

    def _dry_run(self, asked: jobs.Asked) -> Response:
        outcome = jobs.run(self.project, asked, None)
        job = Statement("", self.auth.email, asked.sql, lambda own: None, state="SUCCEEDED", result=outcome)
        job.extra = {"asked": asked, "location": self.project.location}
        job.done.set()
        resource = jobs.resource(self.project, self.auth.email, job)
        resource["configuration"]["dryRun"] = True
        del resource["jobReference"]["jobId"]
        return Response.json(200, resource)

    def _find(self, handle: str, asked: dict[str, str]) -> Statement:
        """A job; outside of the multi-regions US and EU it is found by its location only."""
        job = self.board.find(handle)
        location = asked.get("location")
        place = job.extra["location"] if job else ""
        wrong = location.upper() != place.upper() if location else place.upper() not in ("US", "EU")
        if job is None or wrong:
            raise BigQueryError("notFound", f"Not found: Job {self.project.name}:{handle}")
        return job

    def _job(self, request: Request, handle: str) -> Response:
        job = self._find(handle, requests.parameters(request, requests.JOB))
        self.board.poll(job)
        return Response.json(200, jobs.resource(self.project, self.auth.email, job))

    def _list_jobs(self, request: Request) -> Response:
        requests.parameters(request, requests.JOBS)
        listed = [jobs.resource(self.project, self.auth.email, job) for job in reversed(self.board.all())]
        return Response.json(200, {"kind": "bigquery#jobList", "etag": uuid.uuid4().hex, "jobs": listed})

    def _cancel(self, request: Request, handle: str) -> Response:
        job = self._find(handle, requests.parameters(request, requests.JOB))
        self.board.cancel(job)
        resource = jobs.resource(self.project, self.auth.email, job)
        return Response.json(200, {"kind": "bigquery#jobCancelResponse", "job": resource})

    def _results(self, request: Request, handle: str) -> Response:
        asked = requests.parameters(request, requests.RESULTS)
        job = self._find(handle, asked)
        self.board.poll(job)
        if job.expired:
            raise BigQueryError("notFound", f"Not found: Table {self.project.name}:_anonymous.anon{handle}")
        options = {name.removeprefix("formatOptions."): value for name, value in asked.items()}
        wait = asked.get("timeoutMs")
        return self._page(job, "bigquery#getQueryResultsResponse", options, asked, None if wait is None else int(wait))

    def _page(
        self, job: Statement, kind: str, options: dict[str, Any], asked: dict[str, Any], wait: int | None
    ) -> Response:
        """A page of a job's result; a job that runs on answers without one."""
        if not job.hold:
            job.done.wait(min(DEFAULT_WAIT_MS if wait is None else wait, MAX_WAIT_MS) / 1000)
        reference = {"projectId": self.project.name, "jobId": job.handle, "location": job.extra["location"]}
        body: dict[str, Any] = {"kind": kind, "jobReference": reference, "jobComplete": not job.running}
        if job.running:
            return Response.json(200, body)
        failure = jobs.error_of(job)
        if failure:
            raise failure
        outcome: jobs.Outcome = job.result
        cost = str(jobs.MINIMUM_BYTES * len(set(outcome.query.reads)))
        body |= {"cacheHit": False, "totalBytesProcessed": cost}
        if outcome.affected is not None:
            body |= {"numDmlAffectedRows": str(sum(outcome.affected.values())), "dmlStats": jobs.dml(outcome.affected)}
        if outcome.schema is None:
            return Response.json(200, body)
        page = self._pages.page(outcome.schema, outcome.rows, options, asked, f"job:{job.handle}")
        return Response.json(200, {**body, "schema": outcome.schema, **page})

    # Tables and datasets.

    def _list_datasets(self, request: Request) -> Response:
        requests.parameters(request, requests.LIST)
        listed = [tables.dataset(self.project, name) for name in sorted(self.project.datasets)]
        return Response.json(200, {"kind": "bigquery#datasetList", "datasets": listed})

    def _create_dataset(self, request: Request) -> Response:
        body = requests.body(request, requests.DATASET)
        return Response.json(200, tables.create_dataset(self.project, body))

    def _dataset(self, request: Request, name: str) -> Response:
        requests.parameters(request, requests.DATASET_GET)
        self.project.check_dataset((self.project.name, name, ""))
        return Response.json(200, tables.dataset(self.project, name))

    def _drop_dataset(self, request: Request, name: str) -> Response:
        asked = requests.parameters(request, requests.DATASET_DELETE)
        tables.drop_dataset(self.project, name, asked.get("deleteContents", "").lower() == "true")
        return Response(204)

    def _list_tables(self, request: Request, dataset: str) -> Response:
        requests.parameters(request, requests.LIST)
        listed = tables.listed(self.project, dataset)
        return Response.json(200, {"kind": "bigquery#tableList", "tables": listed, "totalItems": len(listed)})

    def _table(self, request: Request, dataset: str, name: str) -> Response:
        requests.parameters(request, requests.TABLE_GET)
        return Response.json(200, tables.table(self.project, dataset, name))

    def _drop_table(self, request: Request, dataset: str, name: str) -> Response:
        requests.parameters(request, {})
        tables.drop(self.project, dataset, name)
        return Response(204)

    def _rows(self, request: Request, dataset: str, name: str) -> Response:
        asked = requests.parameters(request, requests.ROWS)
        schema, rows = tables.rows(self.project, dataset, name, asked.get("selectedFields"))
        options = {key.removeprefix("formatOptions."): value for key, value in asked.items()}
        page = self._pages.page(schema, rows, options, asked, f"table:{dataset}.{name}")
        return Response.json(200, {"kind": "bigquery#tableDataList", "etag": uuid.uuid4().hex, **page})

    # What the control endpoint calls.

    def seed(self, sql: str) -> None:
        """Runs statements with all rights, with shop as the default dataset."""
        try:
            for one in statements(sql):
                for statement in [] if self._administration.take(one) else parse(one, DIALECT):
                    text = statement.sql(dialect="bigquery")
                    jobs.run(self.project, jobs.Asked(text, "shop", None, None, {}, False), None, force=True)
        except SyntaxRefused as refused:
            raise ValueError(str(refused)) from refused
        except BigQueryError as error:
            raise ValueError(error.message) from error

    def tables(self) -> list[str]:
        """Every table, by full name."""
        cursor = self._engine.cursor()
        found = cursor.run("SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal").rows
        cursor.close()
        return sorted(".".join(decode(part) for part in row) for row in found)

    def expire(self, what: str) -> None:
        """Results after a day, all tokens, or page tokens ("links")."""
        match what:
            case "results":
                self.board.expire_results()
            case "tokens":
                self.auth.revoke()
            case "links":
                self._pages.forget()
            case _:
                raise ValueError("what must be results, tokens or links")

    def configure(self, settings: dict[str, Any]) -> None:
        """pageRows, deny (dataset.table), readOnly, ungranted."""
        for name, value in settings.items():
            match name:
                case "pageRows" if isinstance(value, int) and value > 0:
                    self._pages.rows = value
                case "deny" if isinstance(value, list):
                    self.project.denied = set(value)
                case "readOnly" if isinstance(value, bool):
                    self.project.read_only = value
                case "ungranted" if value is True:
                    self._administration.forget()
                case _:
                    raise ValueError(f"no setting {name} with this value")

    def state(self) -> dict[str, Any]:
        """The datasets."""
        return {"datasets": sorted(self.project.datasets)}

    def connection(self, url: str) -> dict[str, Any]:
        """What a client needs to connect."""
        return {
            "project": self.project.name,
            "location": self.project.location,
            "dataset": "shop",
            "serviceAccountKey": self.auth.key_file(url),
            "accessToken": self.auth.issue(),
            "impersonate": self.auth.reader,
            "metadataHost": url.partition("://")[2],
        }
