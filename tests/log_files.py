"""Training logs for tests: those that trainers wrote, TensorBoard's records, and what a table of curves holds."""

import struct
from pathlib import Path

from dpo_analysis.trainer.logs.crc32c import masked_crcs

LOGS = Path(__file__).parent / "trainers" / "logs"


def values(table):
    return {(row["split"], row["metric"], row["step"]): row["value"] for row in table.to_pylist()}


def counts(table):
    metadata = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
    return {name: int(value) for name, value in metadata.items() if value.isdigit() and value != "0"}


def event(tag, step, value, time=1.0):
    """Return an event of one simple value as protobuf writes it."""
    name = tag.encode()
    inner = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(inner)]) + inner
    return b"\x09" + struct.pack("<d", time) + b"\x10" + varint(step) + b"\x2a" + bytes([len(summary)]) + summary


def varint(number):
    number &= 2**64 - 1
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def framed(*events):
    """Return events as TFRecords."""
    out = b""
    for record in events:
        length = struct.pack("<Q", len(record))
        crcs = [struct.pack("<I", int(crc)) for crc in masked_crcs([length, record])]
        out += length + crcs[0] + record + crcs[1]
    return out
