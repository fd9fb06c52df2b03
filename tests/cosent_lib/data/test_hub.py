"""Loading from the hub, against a hub of our own on this machine: it serves parquet files laid out as there, or fails.

The client reads its settings when it is imported and the tests of this process are offline, so it runs in another one.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest

from cosent_lib.data.tasks import TASKS

ROWS = {"sentence1": ["甲", "丙"], "sentence2": ["乙", "丁"]}
CLASSES = datasets.ClassLabel(names=["neutral", "entailment", "contradiction"])
YES_NO = datasets.ClassLabel(names=["0", "1"])
# task -> column of the score, its type on the hub, two raw scores, what load_pairs makes of them
SERVED = {
    "atec": ("score", datasets.Value("int32"), [1, 0], [1.0, 0.0]),
    "bq": ("score", datasets.Value("int32"), [0, 1], [0.0, 1.0]),
    "lcqmc": ("score", datasets.Value("int32"), [1, 1], [1.0, 1.0]),
    "pawsx": ("label", YES_NO, [0, 1], [0.0, 1.0]),
    "stsb_zh": ("score", datasets.Value("int32"), [4, 1], [0.8, 0.2]),
    "stsb_en": ("score", datasets.Value("float64"), [0.76, 1.0], [0.76, 1.0]),
    "ocnli": ("label", CLASSES, [1, 0], [1.0, 0.5]),
}
FAILURES = {
    "lcqmc": (404, r"not found \(HTTP 404\): the data set or this commit of it is gone, renamed or not public"),
    "atec": (429, r"rate limit \(HTTP 429\): too many requests from here; wait some minutes, or log in"),
    "bq": (500, r"server error \(HTTP 500\): the hub is in trouble; try again later"),
    "stsb_zh": ("time-out", r"time-out: no answer within 1 s \(HF_HUB_ETAG_TIMEOUT sets this\); check the network"),
}
LOAD = """
import json, sys
from cosent_lib.data.load import load_pairs, origin
from cosent_lib.data.tasks import DataUnavailable
for task in sys.argv[1:]:
    try:
        pairs = load_pairs(task, "test", "hub")
        found = {"rows": pairs[:], "origin": origin(pairs)}
    except DataUnavailable as error:
        found = {"error": str(error)}
    print("RESULT", json.dumps(found | {"task": task}))
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a client needs to load a data set: its commit, its files' names, and the files."""

    protocol_version = "HTTP/1.1"
    files: dict[str, dict[str, bytes]]  # data set -> path -> content
    failing: dict[str, object]  # data set -> status, or "time-out"
    asked: list[str]  # the failing data sets that were asked for

    def do_GET(self):
        path = self.path.partition("?")[0]
        dataset = next((name for name in {**self.files, **self.failing} if f"datasets/{name}/" in f"{path}/"), None)
        if failure := self.failing.get(dataset):
            self.asked.append(dataset)
            if failure == "time-out":
                time.sleep(2)  # longer than the client is told to wait
                failure = 504
            self.answer(failure, headers={"X-Error-Code": "RepoNotFound"} if failure == 404 else {"Retry-After": "60"})
        elif dataset is None:
            self.answer(404)
        else:
            self.serve(dataset, path)

    do_HEAD = do_GET  # noqa: N815

    def serve(self, dataset, path):
        commit, files = (
            next(t.hub.revision for t in TASKS.values() if t.hub and t.hub.id == dataset),
            self.files[dataset],
        )
        entries = [{"type": "file", "path": name, "oid": "0", "size": len(content)} for name, content in files.items()]
        folders = {name.partition("/")[0] for name in files if "/" in name}
        entries += [{"type": "directory", "path": name, "oid": "0"} for name in folders]
        if path == f"/api/datasets/{dataset}/revision/{commit}":
            siblings = [{"rfilename": name} for name in files]
            self.answer(200, {"id": dataset, "sha": commit, "siblings": siblings, "tags": []})
        elif path.startswith(f"/api/datasets/{dataset}/tree/{commit}"):
            folder = path.partition(f"tree/{commit}")[2].strip("/")
            self.answer(200, [entry for entry in entries if entry["path"].rpartition("/")[0] == folder])
        elif (name := path.partition(f"/datasets/{dataset}/resolve/{commit}/")[2]) in files:
            headers = {"X-Repo-Commit": commit, "ETag": f'"{hash(name) % 10**12}"', "Accept-Ranges": "bytes"}
            self.answer(200, files[name], headers)
        else:
            self.answer(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})

    def answer(self, status, content=b"", headers=None):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if headers else "application/json"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def readme(hub, folder):
    """The part of a data set's card that says which file is which split."""
    splits = "".join(f"  - split: {split}\n    path: {folder}/{split}-*\n" for split in set(hub.splits.values()))
    return f"---\nconfigs:\n- config_name: {hub.config or 'default'}\n  data_files:\n{splits}---\n".encode()


def laid_out(task, tmp_path):
    """The files of a data set as the hub lays them out."""
    hub, (column, kind, scores, _) = TASKS[task].hub, SERVED[task]
    folder = hub.config or "data"
    text = datasets.Value("string")
    features = datasets.Features({"sentence1": text, "sentence2": text, column: kind})
    datasets.Dataset.from_dict({**ROWS, column: scores}, features=features).to_parquet(tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes()
    files = {f"{folder}/{split}-00000-of-00001.parquet": content for split in set(hub.splits.values())}
    return {"README.md": readme(hub, folder), **files}


@pytest.fixture
def serve():
    """Start a hub; returns a function that loads tasks from it in another process."""
    servers = []

    def start(files, failing, asked=()):
        handler = type("ThisHub", (Hub,), {"files": files, "failing": failing, "asked": asked})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def load(endpoint, home: Path, tasks, **settings):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_", "COSENT_"))
    }
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_ETAG_TIMEOUT": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **settings}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *tasks], env=environment, capture_output=True, text=True, timeout=120
    )
    found = [json.loads(line.removeprefix("RESULT")) for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert len(found) == len(tasks), done.stderr[-2000:]
    return {entry["task"]: entry for entry in found}


def test_a_failing_hub_ends_in_data_unavailable_within_seconds(serve, tmp_path):
    failing = {TASKS[task].hub.id: failure for task, (failure, _) in FAILURES.items()}
    asked = []
    found = load(serve({}, failing, asked), tmp_path, list(FAILURES))
    for task, (_, message) in FAILURES.items():
        error = found[task]["error"]
        hub = TASKS[task].hub
        assert re.match(rf"{task}/test cannot be had from the hub \({hub.id} at {hub.revision}\): {message}", error)
        for remedy in ("HF_HUB_OFFLINE=1", f"put {task}/test.tsv", "COSENT_DATA_DIR", "built-in task"):
            assert remedy in error
        assert asked.count(hub.id) == 1  # the client alone asks six times, and waits as long as it is told to


def test_every_task_loads_from_files_laid_out_as_on_the_hub_and_again_without_it(serve, tmp_path):
    assert set(SERVED) == {name for name, task in TASKS.items() if task.hub}
    endpoint = serve({TASKS[task].hub.id: laid_out(task, tmp_path) for task in SERVED}, {})
    found = load(endpoint, tmp_path / "home", list(SERVED))
    for task, (*_, expected) in SERVED.items():
        hub = TASKS[task].hub
        assert found[task].get("rows") == {**ROWS, "score": expected}, found[task]
        assert found[task]["origin"].startswith(f"hub {hub.id}@{hub.revision} ")
    offline = load(
        endpoint, tmp_path / "home", ["lcqmc", "ocnli"], HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9"
    )
    for task, entry in offline.items():
        assert entry.get("rows") == found[task]["rows"], entry
