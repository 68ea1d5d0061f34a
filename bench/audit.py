"""How long ``tactic audit`` takes: ``python bench/audit.py [--json]``.

On a store of a million packets of ten nodes, made for the purpose.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tactic.evaluate import about
from tactic_gateway import accounts, audit
from tactic_gateway.database import reading
from tactic_gateway.store import Store

NODES, ROWS, RUNS = 10, 1_000_000, 3

PACKETS = f"""
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS} - 1)
INSERT INTO packets (node, boot, pkt, kind, seq, bundle, received_ns, status, raw, priority)
    SELECT 'cam' || (i % {NODES}), 4096, i / {NODES}, 0, i / {NODES}, 1, i, 3, zeroblob(200), 1
    FROM n
"""


def fill(path: Path) -> None:
    """Frames that are all decoded, and ledgers that agree."""
    each = ROWS // NODES
    with closing(Store(path)) as store, store.database.transaction() as db:
        db.execute(PACKETS)
        for node in (f"cam{n}" for n in range(NODES)):
            db.execute("INSERT INTO settled VALUES (?, 4096, 0, ?)", (node, each))
            db.execute(
                "INSERT INTO accounts (node, boot, frames) VALUES (?, 4096, ?)", (node, each)
            )
            db.execute(
                "INSERT INTO ledgers VALUES (?, 4096, 0, ?, ?, 0, '{}', 0, ?, '{}', 0, 1)",
                (node, each, each, each),
            )


def run(path: Path) -> float:
    """Seconds of one audit; it finds nothing wrong."""
    begun_s = time.monotonic()
    with reading(path) as db:
        balances = audit.balances(db)
        assert len(balances) == NODES and not any(balance.fault for balance in balances)
        assert not list(audit.recount(db))
        assert accounts.totals(db) == {"done": ROWS}
    return time.monotonic() - begun_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tactic-bench-") as folder:
        path = Path(folder) / "gateway.db"
        fill(path)
        taken_s = [run(path) for _ in range(RUNS)]
    origin = {"machine": about.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    origin |= {"commit": about.commit(), "date": about.date()}
    found = {"rows": ROWS, "first_s": taken_s[0], "best_s": min(taken_s)}
    if asked.json:
        print(json.dumps({"about": origin, **found}, indent=2))
    else:
        print(", ".join(f"{name} {value}" for name, value in (origin | found).items()))


if __name__ == "__main__":
    main()
