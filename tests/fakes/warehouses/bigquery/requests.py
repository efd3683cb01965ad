"""What BigQuery takes: bodies and query parameters, as of the API's discovery document."""

from __future__ import annotations

import json
from typing import Any

from ..schema import Map, Mismatch, Number, Text, check, fields, one_of
from ..wire import Request
from .errors import BigQueryError

ID = r"[A-Za-z0-9_-]{1,1024}"
_NAME = Text()
_INT = Number()
_UINT = Number(high=2**32 - 1)
_DATASET = fields("datasetId", datasetId=Text(r"\w{1,1024}"), projectId=_NAME)
_TABLE = fields("datasetId tableId projectId", datasetId=_NAME, tableId=_NAME, projectId=_NAME)
_TIMESTAMPS = one_of("TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED", "FLOAT64", "INT64", "ISO8601_STRING")
_FORMATS = fields(timestampOutputFormat=_TIMESTAMPS, useInt64Timestamp=bool)
_LABELS = Map(Text(r"[\w-]{0,63}"))
_TYPE = fields("type", type=_NAME)
_PARAMETERS = [fields("parameterType parameterValue", name=_NAME, parameterType=_TYPE,
                      parameterValue=fields(value=_NAME))]  # fmt: skip

QUERY = fields(
    "query",
    kind=_NAME, query=_NAME, location=_NAME, requestId=Text(r"[\x20-\x7e]{1,36}"), useLegacySql=bool, dryRun=bool,
    useQueryCache=bool, maxResults=_UINT, timeoutMs=_UINT, jobTimeoutMs=_INT, maximumBytesBilled=_INT,
    defaultDataset=_DATASET, labels=_LABELS, formatOptions=_FORMATS, parameterMode=one_of("NAMED", "POSITIONAL"),
    queryParameters=_PARAMETERS, createSession=bool,
    jobCreationMode=one_of("JOB_CREATION_MODE_UNSPECIFIED", "JOB_CREATION_REQUIRED", "JOB_CREATION_OPTIONAL"),
)  # fmt: skip
_CONFIGURATION = fields(
    "query",
    query=_NAME, useLegacySql=bool, useQueryCache=bool, defaultDataset=_DATASET, maximumBytesBilled=_INT,
    priority=one_of("INTERACTIVE", "BATCH"), parameterMode=one_of("NAMED", "POSITIONAL"),
    queryParameters=_PARAMETERS, createDisposition=one_of("CREATE_IF_NEEDED", "CREATE_NEVER"),
    writeDisposition=one_of("WRITE_TRUNCATE", "WRITE_APPEND", "WRITE_EMPTY"), destinationTable=_TABLE,
    allowLargeResults=bool, flattenResults=bool,
)  # fmt: skip
INSERT = fields(
    "configuration",
    kind=_NAME,
    jobReference=fields(projectId=_NAME, jobId=Text(ID), location=_NAME),
    configuration=fields("query", query=_CONFIGURATION, dryRun=bool, jobTimeoutMs=_INT, jobType=_NAME, labels=_LABELS),
)
DATASET = fields(
    "datasetReference", kind=_NAME, datasetReference=_DATASET, location=_NAME, labels=_LABELS, description=_NAME,
    defaultTableExpirationMs=_INT,
)  # fmt: skip

IMPERSONATION = fields("scope", scope=[_NAME], lifetime=Text(r"\d{1,4}s"), delegates=[_NAME])

_PAGE = {"maxResults": _UINT, "pageToken": _NAME}
_FORMAT_PARAMETERS = {
    "formatOptions.timestampOutputFormat": _TIMESTAMPS,
    "formatOptions.useInt64Timestamp": one_of("true", "false", "True", "False"),
}
RESULTS = {**_PAGE, **_FORMAT_PARAMETERS, "location": _NAME, "startIndex": _INT, "timeoutMs": _UINT}
ROWS = {**_PAGE, **_FORMAT_PARAMETERS, "startIndex": _INT, "selectedFields": _NAME}
# projection is in no document, but the official client sends it.
JOB = {"location": _NAME, "projection": one_of("full")}
JOBS = {**_PAGE, "stateFilter": _NAME, "projection": _NAME, "allUsers": _NAME, "minCreationTime": _INT}
TABLE_GET = {"selectedFields": _NAME, "view": _NAME}
LIST = dict(_PAGE)
DATASET_GET = {"datasetView": _NAME, "accessPolicyVersion": _NAME}
DATASET_DELETE = {"deleteContents": one_of("true", "false", "True", "False")}
_STANDARD = {"alt": one_of("json"), "prettyPrint": one_of("true", "false"), "fields": _NAME, "quotaUser": _NAME}


# Types of query parameters that this fake takes: the scalar ones.
_SCALARS = {
    "STRING", "BYTES", "INT64", "INTEGER", "FLOAT64", "FLOAT", "NUMERIC", "BIGNUMERIC", "BOOL", "BOOLEAN", "DATE",
    "DATETIME", "TIME", "TIMESTAMP", "JSON",
}  # fmt: skip


def query_parameters(configuration: dict[str, Any]) -> tuple[tuple[str | None, str, str | None], ...]:
    """Name, type and value of each query parameter; either all have a name or none."""
    found = []
    mode = configuration.get("parameterMode")
    for one in configuration.get("queryParameters", []):
        name, kind = one.get("name"), one["parameterType"]["type"].upper()
        if kind not in _SCALARS:
            raise BigQueryError("invalid", f"Invalid value for type: {kind} is not a valid value")
        if mode is not None and (mode == "NAMED") != (name is not None):
            raise BigQueryError("invalid", f"A query parameter does not fit the parameterMode {mode}")
        found.append((name, kind, one["parameterValue"].get("value")))
    if len({name is None for name, _, _ in found}) > 1:
        raise BigQueryError("invalid", "Cannot mix named and positional query parameters")
    return tuple(found)


def body(request: Request, rule: Any) -> dict[str, Any]:
    """The JSON body of a request, when the service takes it."""
    kind = (request.header("content-type") or "").split(";")[0].strip().lower()
    if kind != "application/json":
        text = f"Media type '{kind}' is not supported. Valid media types: [application/json]"
        raise BigQueryError("badContent", text)
    try:
        value: dict[str, Any] = json.loads(request.body)
    except ValueError as error:
        raise BigQueryError("parseError", "Parse Error") from error
    try:
        check(value, rule)
    except Mismatch as wrong:
        if wrong.unknown:
            name = wrong.path.rpartition(".")[2]
            text = f"Invalid JSON payload received. Unknown name \"{name}\" at '{wrong.path}': Cannot find field."
            raise BigQueryError("badRequest", text) from wrong
        if wrong.reason == "is missing":
            raise BigQueryError("required", f"Required parameter is missing: {wrong.path}") from wrong
        raise BigQueryError("invalid", f"Invalid value at '{wrong.path}': it {wrong.reason}") from wrong
    return value


def parameters(request: Request, allowed: dict[str, Any]) -> dict[str, str]:
    """The query parameters of a request; unknown and repeated ones are refused."""
    found: dict[str, str] = {}
    for name, value in request.query:
        rule = allowed.get(name, _STANDARD.get(name))
        if rule is None or name in found:
            text = f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.'
            raise BigQueryError("badRequest", text)
        try:
            check(value, rule, name)
        except Mismatch as wrong:
            raise BigQueryError("invalid", f"Invalid value for {name}: it {wrong.reason}", name) from wrong
        found[name] = value
    return found
