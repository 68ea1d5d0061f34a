"""How many frames a gateway takes: ``python bench/gateway.py [--json] [CASE …]``.

``ingest``: stored and acknowledged, nothing decoded, from memory and through a real mosquitto.
``decode``: from stored packets to stored results, beside the bare head on raw pictures, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from gateway_decode import HEADS, decode
from gateway_ingest import ingest_from_memory, ingest_from_mosquitto
from tactic.evaluate import about


def measure(cases: list[str], folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "ingest" in cases:
        found["ingest"] = ingest_from_memory(folder)
        found["ingest_mosquitto"] = ingest_from_mosquitto(folder)
    if "decode" in cases:
        found |= {f"decode_{name}": decode(name, folder) for name in HEADS}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=["ingest", "decode"])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tactic-bench-") as folder:
        found = measure(asked.cases, Path(folder))
    origin = {"machine": about.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    origin |= {"commit": about.commit(), "date": about.date()}
    if asked.json:
        print(json.dumps({"about": origin, **found}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in origin.items()))
    for name, values in found.items():
        figures = ", ".join(f"{k} {v:.2f}" for k, v in values.items()) if values else "no mosquitto"
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
