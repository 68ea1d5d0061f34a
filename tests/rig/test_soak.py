import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from rig.soak import soak


def test_a_short_run_accounts_for_every_frame_and_leaks_no_descriptor() -> None:
    found = soak(300, samples=10)
    ledger = found["ledger"]
    assert ledger["stored"] == 300
    assert ledger["captured"] == 300 + ledger["dropped"].get("busy", 0)
    assert ledger["pending"] == 0
    assert len(found["descriptors"]) == 1
