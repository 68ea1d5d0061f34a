import subprocess
from typing import Any

import numpy as np
import pytest

from tactic_codec.bundle import Bundle
from tactic_device.encoders import Limits, base, choose, selection
from tactic_device.encoders.selection import model_of, probe
from tactic_device.errors import EncoderError

INSTALLED = [("litert", "ai_edge_litert"), ("onnxruntime", "onnxruntime")]


def reference(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    thinned = pixels[::4, ::4].astype(np.int16) - 128
    return thinned.transpose(2, 0, 1).astype(np.int8)


@pytest.mark.parametrize(("runtime", "package"), INSTALLED)
def test_runtimes_give_the_latents_at_any_geometry(
    bundle: Bundle, runtime: str, package: str
) -> None:
    pytest.importorskip(package)
    encoder = base.load(runtime, model_of(bundle, 0, runtime), threads=1)
    rng = np.random.default_rng(2)
    for shape in ((16, 24, 3), (32, 32, 3), (16, 24, 3)):
        pixels = rng.integers(0, 256, shape, np.uint8)
        found = encoder.encode(pixels)
        assert found.dtype == np.int8
        assert found.flags.c_contiguous
        assert (found == reference(pixels)).all()


def test_the_first_runtime_that_passes_is_used(bundle: Bundle) -> None:
    pytest.importorskip("ai_edge_litert")
    choice = choose(bundle, 0, "auto", threads=1)
    assert choice.runtime == "litert"
    assert choice.refused == {}


def test_a_missing_runtime_is_a_recorded_reason(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    real = selection.probe

    def without_litert(
        of: Bundle, level: int, runtime: str, model: bytes, threads: int, limits: Limits
    ) -> str | None:
        there = runtime == "onnxruntime"
        return real(of, level, runtime, model, threads, limits) if there else "ImportError: x"

    monkeypatch.setattr(selection, "probe", without_litert)
    choice = choose(bundle, 0, "auto", threads=1)
    assert choice.runtime == "onnxruntime"
    assert choice.refused == {"litert": "ImportError: x", "tflite": "ImportError: x"}


def test_wrong_latents_are_refused_with_the_reason(wrong_bundle: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(
        EncoderError, match=r"onnxruntime: 100.00% .* by up to 3.*install"
    ) as caught:
        choose(wrong_bundle, 0, "onnxruntime", threads=1)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_loaded_is_refused(bundle: Bundle) -> None:
    pytest.importorskip("onnxruntime")
    fault = probe(bundle, 0, "onnxruntime", b"no model", 1, Limits())
    assert fault is not None
    assert "\n" not in fault


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        (subprocess.CompletedProcess([], -4, b"", b""), "killed by SIGILL"),
        (subprocess.CompletedProcess([], 1, b"", b"Traceback"), "exit status 1"),
        (subprocess.TimeoutExpired([], 60), "no latents within 60 s"),
    ],
)
def test_a_crashing_or_hanging_runtime_costs_only_its_process(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, done: Any, reason: str
) -> None:
    def run(*_: object, **__: object) -> Any:
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(subprocess, "run", run)
    assert reason in (probe(bundle, 0, "litert", b"", 1, Limits()) or "")
