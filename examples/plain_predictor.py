"""A predictor in plain Python: the median of a type's last runs. Its name is `plain_predictor:Medians`."""

import hashlib
import json

from nexus_sched.errors import SnapshotUnreadable
from nexus_sched.model.prediction import TaskPrediction


class Medians:
    name, version, knows_workers = "medians", 1, False

    def __init__(self, settings):
        self.runs_ms = {}

    def predict(self, task, worker=None, worker_class=""):
        runs_ms = sorted(self.runs_ms.get(task.type, ()))
        if not runs_ms:
            return None  # an honest answer: another rung of the ladder predicts instead
        count, mean_ms = len(runs_ms), sum(runs_ms) / len(runs_ms)
        p10, p50, p80, p90, p95 = (runs_ms[int(share * count)] for share in (0.1, 0.5, 0.8, 0.9, 0.95))
        return TaskPrediction(p50, mean_ms, p80, p95, 0.5, "median", count, self.name, self.version, p10, p90)

    def learn(self, run):
        self.runs_ms[run.task.type] = [*self.runs_ms.get(run.task.type, ()), run.run_ms][-31:]

    def snapshot(self):
        return json.dumps([self.version, self.runs_ms]).encode()

    def restore(self, blob):
        try:
            version, runs_ms = json.loads(blob)
            if version != self.version:
                raise ValueError(f"version {version}")
        except (ValueError, TypeError) as error:
            raise SnapshotUnreadable(f"no snapshot of {self.name}: {error}") from error
        self.runs_ms = dict(runs_ms)

    def digest(self):
        return int.from_bytes(hashlib.blake2b(self.snapshot(), digest_size=8).digest(), "big")
