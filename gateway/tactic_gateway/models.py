"""ONNX Runtime: one network with one output."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tactic_codec.bundle import Bundle
from tactic_codec.errors import BundleError
from tactic_codec.manifest import FileEntry
from tactic_gateway.errors import DecodeError

# What fails is raised as well; ONNX Runtime would write it to standard error besides.
_FATAL_ONLY = 4
_NO_MEMORY = re.compile(r"allocate memory|bad.?alloc", re.IGNORECASE)


class Model:
    """A network.

    Parameters
    ----------
    bundle : Bundle
    entry : FileEntry
        The file of the bundle that has the network.
    threads : int
        Threads that one call may use.

    Raises
    ------
    BundleError
        The file is not a network that ONNX Runtime can load.
    MemoryError
        There is not enough memory for it.
    """

    def __init__(self, bundle: Bundle, entry: FileEntry, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _FATAL_ONLY
        # Threads that wait busily would take the cores from whatever else the gateway has to do.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.read(entry), options, providers=["CPUExecutionProvider"]
            )
        except (BundleError, MemoryError):
            raise
        except Exception as fault:  # ONNX Runtime has no common base for its errors
            if _NO_MEMORY.search(str(fault)):
                raise MemoryError(_first_line(fault)) from fault
            where = bundle.path / entry.path
            raise BundleError(f"{where}: {_first_line(fault)}; export the bundle again") from fault
        self._name = entry.path
        self._inputs = [each.name for each in self._session.get_inputs()]

    def run(self, *batch: NDArray[Any]) -> NDArray[Any]:
        """Output of the network for a batch: one array for each of its inputs.

        Raises
        ------
        DecodeError
            ``model``: ONNX Runtime refuses the input or fails.
        MemoryError
            There is not enough memory for it.
        """
        try:
            feed = dict(zip(self._inputs, batch, strict=True))
            return np.asarray(self._session.run(None, feed)[0])
        except MemoryError:
            raise
        except Exception as fault:
            if _NO_MEMORY.search(str(fault)):
                raise MemoryError(_first_line(fault)) from fault
            raise DecodeError("model", f"{self._name}: {_first_line(fault)}") from fault


def _first_line(fault: Exception) -> str:
    return str(fault).strip().partition("\n")[0] or type(fault).__name__
