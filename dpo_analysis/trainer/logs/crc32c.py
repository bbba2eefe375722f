"""CRC-32C (Castagnoli), which Python's standard library has not: the checksum of TensorBoard's records."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

POLYNOMIAL = 0x82F63B78
"""Of CRC-32C, with its bits reversed."""
MASK_DELTA = 0xA282EAD8
"""TFRecord stores a checksum rotated by 15 bits and with this added."""


def _make_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


TABLE = _make_table()


def masked_crcs(records: Sequence[bytes]) -> np.ndarray:
    """Return the masked CRC-32C of every record, uint32, shape (records,).

    Records of one length are read together, a byte of all of them at a time.
    """
    crcs = np.zeros(len(records), dtype=np.uint32)
    lengths = np.array([len(record) for record in records], dtype=np.int64)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        joined = b"".join(records[place] for place in places.tolist())
        columns = np.ascontiguousarray(np.frombuffer(joined, np.uint8).reshape(len(places), length).T)
        state = np.full(len(places), 0xFFFF_FFFF, dtype=np.uint32)
        for column in columns:
            state = TABLE[(state ^ column) & 0xFF] ^ (state >> np.uint32(8))
        crcs[places] = state ^ np.uint32(0xFFFF_FFFF)
    return ((crcs >> np.uint32(15)) | (crcs << np.uint32(17))) + np.uint32(MASK_DELTA)


@lru_cache(maxsize=4096)
def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C of a few bytes; the lengths of records, which repeat."""
    return int(masked_crcs([data])[0])
