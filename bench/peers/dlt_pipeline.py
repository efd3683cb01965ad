"""dlt from a Postgres table to a custom HTTP destination, in batches of 1,000 over keep-alive connections.

It has no diff: every run sends all rows, and deletions never. `best` reads by connectorx into Arrow and loads Parquet; `default` is
what its documentation begins with, SQLAlchemy and JSON lines.
"""

import atexit
import json
import os
import resource
import shutil
import sys
import tempfile
import threading
from datetime import timezone

style, url = sys.argv[1:]
folder = tempfile.mkdtemp(prefix="backflow-dlt-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ.update({
    "DLT_DATA_DIR": folder,
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "LOAD__WORKERS": "4",
})
if style == "best":
    # One file would be one load job, and so one connection.
    os.environ["NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS"] = "250000"
    os.environ["EXTRACT__DATA_WRITER__FILE_MAX_ITEMS"] = "250000"

import dlt
import requests
from dlt.sources.sql_database import sql_table

local = threading.local()


def session():
    if not hasattr(local, "session"):
        local.session = requests.Session()
        local.session.trust_env = False
    return local.session


def instant(value):
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "astimezone") else value


@dlt.destination(
    batch_size=1000,
    loader_file_format="parquet" if style == "best" else "typed-jsonl",
    name="http",
    naming_convention="direct",
    skip_dlt_columns_and_tables=True,
)
def http(items, table):
    rows = items.to_pylist() if hasattr(items, "to_pylist") else items
    batch = []
    for row in rows:
        row["updated_at"] = instant(row["updated_at"])
        # Parquet keeps NULL; JSON lines leave it out.
        row.setdefault("plan", None)
        batch.append({"id": row["id"], "op": "upsert", "data": row})
    answer = session().post(
        url, data=json.dumps(batch).encode(), headers={"Content-Type": "application/json"}, timeout=60
    )
    answer.raise_for_status()


table = sql_table(
    credentials=os.environ["PEER_POSTGRES"],
    table="customers",
    backend="connectorx" if style == "best" else "sqlalchemy",
    chunk_size=50_000,
    reflection_level="full",
)
pipeline = dlt.pipeline("bench", destination=http, dataset_name="bench", pipelines_dir=folder)
info = pipeline.run(table)
info.raise_on_failed_jobs()
print(json.dumps({"rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
