r"""LoRa's time on air, exactly as Semtech publishes it.

.. math::

    T_s = 2^{SF} / BW, \qquad
    n = 8 + \max\!\left(0, \left\lceil
        \frac{8 PL - 4 SF + 28 + 16 CRC - 20 IH}{4 (SF - 2 DE)} \right\rceil (CR + 4)\right),
    \qquad T = (n_p + 4.25 + n)\, T_s

PL bytes of payload, CRC 1, IH 0 (explicit header), DE 1 where a symbol lasts 16 ms or longer,
CR 1 … 4 for 4/5 … 4/8, n_p symbols of preamble. Semtech, *LoRa Modem Designer's Guide*,
AN1200.13, 2013, section 4.
"""

from __future__ import annotations

from math import ceil

_PREAMBLE_TAIL_SYMBOLS = 4.25
_OPTIMISED_FROM_S = 0.016


def time_on_air_s(
    payload_bytes: int,
    spreading_factor: int,
    *,
    bandwidth_hz: float = 125e3,
    coding_rate: int = 1,
    preamble_symbols: int = 8,
) -> float:
    """How long a LoRa frame is on air, with explicit header and CRC.

    Parameters
    ----------
    payload_bytes : int
        0 … 255, with LoRaWAN's own header (13 bytes without options).
    spreading_factor : int
        6 … 12.
    bandwidth_hz : float
    coding_rate : int
        1 … 4 for 4/5 … 4/8.
    preamble_symbols : int

    Raises
    ------
    ValueError
        A value that LoRa does not know.
    """
    if not (0 <= payload_bytes <= 255 and 6 <= spreading_factor <= 12 and 1 <= coding_rate <= 4):
        raise ValueError(f"no LoRa frame: {payload_bytes} bytes, SF{spreading_factor}")
    symbol_s = (1 << spreading_factor) / bandwidth_hz
    optimised = symbol_s >= _OPTIMISED_FROM_S
    bits = 8 * payload_bytes - 4 * spreading_factor + 28 + 16
    blocks = ceil(bits / (4 * (spreading_factor - 2 * optimised)))
    symbols = 8 + max(0, blocks * (coding_rate + 4))
    return (preamble_symbols + _PREAMBLE_TAIL_SYMBOLS + symbols) * symbol_s
