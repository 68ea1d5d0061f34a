"""Random and mutated streams into a decoder's library; started under sanitisers by `rig.fuzz`.

Arguments: the library, the number of inputs, the seed. A finding ends the process with an error.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import numpy as np

from tactic_codec.prepared import Prepared, prepare
from tactic_codec.rans import Library
from vectors.streams import MODEL, MODELS

SHAPES = ((4, 1, 1), (4, 3, 4), (2, 8, 8), (1, 1, 16))
_PROGRESS = 100_000


def stream_of(
    coder: Library, prepared: Prepared, shape: tuple[int, int, int], rng: Random
) -> bytes:
    """A mutated stream, or bytes that never were one."""
    if rng.random() < 0.3:
        data = bytearray(rng.randbytes(4 + 2 * rng.randint(0, 40)))
    else:
        symbols = np.frombuffer(rng.randbytes(int(np.prod(shape))), np.int8).reshape(shape) >> 5
        data = bytearray(coder.encode(symbols, prepared))
        for _ in range(rng.randint(0, 6)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        del data[4 + 2 * rng.randint(0, (len(data) - 4) // 2) :]
    return bytes(data)


def main(library: str, inputs: int, seed: int) -> None:
    """Decode every input; what it holds does not matter, only that nothing breaks."""
    coder, rng = Library(Path(library)), Random(seed)
    every = [prepare(model) for model in (MODEL, *MODELS)]
    for number in range(1, inputs + 1):
        prepared, shape = rng.choice(every), rng.choice(SHAPES)
        data = stream_of(coder, prepared, shape, rng)
        symbols = np.empty(shape, np.int8)
        symbols[:] = prepared.values[: shape[0], np.newaxis, np.newaxis]
        coder.decode(data, prepared, symbols)
        if number % _PROGRESS == 0:
            print(f"{number} streams", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
