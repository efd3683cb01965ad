"""What a good engineer writes in an afternoon: COPY, a hash for each row, a dictionary of last time's hashes, requests.

It does the whole work, deletions included, and holds all keys in memory. Hashes are over the lines of COPY as they come, so that an
unchanged row costs no more than that; only changed rows are taken apart.
"""

import json
import marshal
import os
import queue
import resource
import sys
import threading
from hashlib import blake2b

import psycopg
import requests

COLUMNS = "id first_name last_name email phone address plan mrr_cents active score updated_at".split()
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
BATCH = 1000
CONNECTIONS = 4


def text(value):
    if "\\" not in value:
        return value
    out = []
    at = 0
    while at < len(value):
        if value[at] == "\\":
            at += 1
            out.append(ESCAPES[value[at]])
        else:
            out.append(value[at])
        at += 1
    return "".join(out)


def record(line):
    values = [None if value == "\\N" else value for value in line.decode().split("\t")]
    row = dict(zip(COLUMNS, values))
    for name in ("first_name", "last_name", "email", "phone", "address", "plan"):
        if row[name] is not None:
            row[name] = text(row[name])
    row["id"] = int(row["id"])
    row["mrr_cents"] = int(row["mrr_cents"])
    row["score"] = float(row["score"])
    row["active"] = row["active"] == "t"
    row["updated_at"] = row["updated_at"].replace(" ", "T").replace("+00", "Z")
    return row


def main():
    state, url = sys.argv[1:]
    bodies = queue.Queue(CONNECTIONS)
    failures = []

    def post():
        session = requests.Session()
        session.trust_env = False
        while (body := bodies.get()) is not None:
            if failures:
                continue
            try:
                session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=60).raise_for_status()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=post) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    pending = {"upsert": [], "delete": []}

    def send(op, id, data):
        batch = pending[op]
        batch.append({"id": id, "op": op, "data": data})
        if len(batch) == BATCH:
            flush(op)

    def flush(op):
        if pending[op]:
            bodies.put(json.dumps(pending[op]).encode())
            pending[op] = []

    known = marshal.load(open(state, "rb")) if os.path.exists(state) else {}
    found = {}
    with psycopg.connect(os.environ["PEER_POSTGRES"], options="-c timezone=UTC") as connection:
        with connection.cursor().copy(f"COPY (SELECT {', '.join(COLUMNS)} FROM customers) TO STDOUT") as copy:
            for block in copy:
                for line in bytes(block).splitlines():
                    key = int(line[: line.index(b"\t")])
                    digest = blake2b(line, digest_size=8).digest()
                    found[key] = digest
                    if known.pop(key, None) != digest:
                        send("upsert", key, record(line))
    for key in known:
        send("delete", key, {})
    flush("upsert")
    flush("delete")
    for _ in threads:
        bodies.put(None)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    with open(state + ".new", "wb") as file:
        marshal.dump(found, file)
    os.replace(state + ".new", state)
    print(json.dumps({"rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


main()
