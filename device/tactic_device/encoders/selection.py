"""Which runtime to use: the first in the order of preference that gives the right latents."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from tactic_codec import nest
from tactic_codec.bundle import Bundle
from tactic_device.encoders import native
from tactic_device.encoders import probe as probing
from tactic_device.encoders.base import PREFERENCE, Encoder, load
from tactic_device.errors import EncoderError

PROBE_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """A runtime that passed, and why the ones before it did not.

    Attributes
    ----------
    encoder : Encoder
    runtime : str
    refused : dict
        Reason by runtime.
    """

    encoder: Encoder
    runtime: str
    refused: dict[str, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an encoder may take.

    Attributes
    ----------
    frame_s : float
        For one probe frame, the first one left out.
    whole_s : float
        From the start of the process to its end.
    """

    frame_s: float = PROBE_S
    whole_s: float = PROBE_S


def choose(
    bundle: Bundle, level: int, runtime: str, threads: int, limits: Limits | None = None
) -> Choice:
    """Probe runtimes and load the first that passes.

    Parameters
    ----------
    bundle : Bundle
    level : int
        Rate level.
    runtime : str
        ``auto``, or the only one to try.
    threads : int
    limits : Limits, optional

    Raises
    ------
    EncoderError
        None passes; the reasons are in the message.
    """
    refused: dict[str, str] = {}
    for name in _order() if runtime == "auto" else (runtime,):
        model = model_of(bundle, level, name)
        if (runtime, name) == ("auto", "native") and not native.suits(model):
            continue
        fault = probe(bundle, level, name, model, threads, limits or Limits())
        if fault is None:
            return Choice(load(name, model, threads), name, refused)
        refused[name] = fault
    reasons = "; ".join(f"{name}: {fault}" for name, fault in refused.items())
    raise EncoderError(
        f"{bundle.path}: no runtime runs the encoder ({reasons}); "
        "install ai-edge-litert or onnxruntime"
    )


def _order() -> tuple[str, ...]:
    """Our own code first, or after LiteRT where that has faster instructions."""
    if native.pays():
        return PREFERENCE
    litert, *others = (name for name in PREFERENCE if name != "native")
    return litert, "native", *others


def model_of(bundle: Bundle, level: int, runtime: str) -> bytes:
    """Read the encoder of a rate level in the form that a runtime takes."""
    files = bundle.codec.encoders[nest.chain(level)]
    return bundle.read(files.onnx if runtime == "onnxruntime" else files.tflite)


def probe(
    bundle: Bundle, level: int, runtime: str, model: bytes, threads: int, limits: Limits
) -> str | None:
    """Try a runtime in a process of its own; return why it cannot be used, or None."""
    entries = bundle.manifest.probe
    given = probing.pack(model, bundle.read(entries.frames), bundle.read(entries.latents))
    command = [sys.executable, "-m", "tactic_device.encoders.probe", runtime]
    command += [str(nest.chain(level)), str(threads), str(limits.frame_s)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(
            command,
            input=given,
            capture_output=True,
            timeout=limits.whole_s,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return f"gave no latents within {limits.whole_s:g} s"
    if done.returncode < 0:
        return f"killed by {signal.Signals(-done.returncode).name}"
    try:
        fault: str | None = json.loads(done.stdout.splitlines()[-1])["fault"]
    except (ValueError, IndexError, KeyError):
        return f"probe failed with exit status {done.returncode}"
    return fault
