"""What the part `replicated` counts of a server's rows."""

from __future__ import annotations

from chaos.kept_rows import BATCH, PAGE, count_rows


class Rows:
    """A server with so many flow runs; the first has its state and its log twice."""

    def __init__(self, count):
        self._names = [f"blow-1-0-{number}" for number in range(count)]
        self.asked = []

    def ask(self, verb, path, body):
        """Answer as Prefect does."""
        self.asked.append((verb, path.partition("?")[0]))
        if path.startswith("/flow_run_states/"):
            name = path.partition("=")[2].removeprefix("id-")
            times = 2 if name == self._names[0] else 1
            return [{"message": None}, *[{"message": name}] * times]
        if path == "/logs/filter":
            names = [run.removeprefix("id-") for run in body["logs"]["flow_run_id"]["any_"]]
            return [{"message": name} for name in [*names, *names[: self._names[0] in names]]]
        rows = [{"id": f"id-{name}", "name": name} for name in self._names]
        return rows[body["offset"] : body["offset"] + body["limit"]]


def test_each_row_is_counted_by_its_kind_and_name():
    kept = count_rows(Rows(2).ask, "blow-1")

    assert kept == {
        ("flow", "blow-1-0-0"): 1,
        ("flow", "blow-1-0-1"): 1,
        ("run", "blow-1-0-0"): 1,
        ("run", "blow-1-0-1"): 1,
        ("state", "blow-1-0-0"): 2,
        ("state", "blow-1-0-1"): 1,
        ("log", "blow-1-0-0"): 2,
        ("log", "blow-1-0-1"): 1,
    }


def test_all_pages_of_runs_and_all_batches_of_logs_are_read():
    rows = Rows(PAGE + 1)

    kept = count_rows(rows.ask, "blow-1")

    assert sum(1 for kind, _ in kept if kind == "run") == PAGE + 1
    assert sum(1 for kind, _ in kept if kind == "log") == PAGE + 1
    assert rows.asked.count(("POST", "/logs/filter")) == -(-(PAGE + 1) // BATCH)


def test_a_server_without_rows_has_none():
    assert count_rows(Rows(0).ask, "blow-1") == {}
