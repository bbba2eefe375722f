"""Token tables written by hand, and what the token view is sent, read back."""

import numpy as np
import pandas as pd

from dpo_analysis.figures.token_view.number_codec import LETTERS


def token_rows(chosen=(b"a", b" b"), rejected=(b"c",), models=("checkpoint-1", "checkpoint-2"), ratio=1.0):
    """One pair; a token's log-ratio is -ratio * step * (position + 1) nats, beta 0.1; its id is its place in bytes."""
    ids = {piece: number for number, piece in enumerate(dict.fromkeys([*chosen, *rejected]))}
    rows = []
    for side, pieces in (("chosen", chosen), ("rejected", rejected)):
        for model in models:
            step = int(model.split("-")[1])
            value = 0.0
            for position, piece in enumerate(pieces):
                log_ratio = -ratio * step * (position + 1)
                value += 0.1 * log_ratio
                row = {"pair_id": "p", "side": side, "series": "s", "model": model, "step": step, "position": position}
                row |= {"token_id": ids[piece], "token_bytes": piece, "logp": log_ratio - 1, "reference_logp": -1.0}
                row |= {"log_ratio": log_ratio, "advantage": 0.1 * log_ratio, "value": value, "entropy": 0.5}
                kl = {"kl_reference_policy": 0.25, "credit": 0.1 * log_ratio + 0.025, "credit_variance": 0.01}
                rows.append(row | kl | {"credit_z": (0.1 * log_ratio + 0.025) / 0.1})
    return pd.DataFrame(rows)


def unpacked(text):
    """The numbers that ``encode_numbers`` wrote, as tokens.js reads them; None where one is missing."""
    return [_number(text[place : place + 3]) for place in range(0, len(text), 3)]


def _number(letters):
    code = sum(LETTERS.index(letter) * len(LETTERS) ** (2 - place) for place, letter in enumerate(letters))
    if code < 2:
        return None if code == 0 else 0.0
    digits, power = (code - 2) // 2 % 9000 + 1000, (code - 2) // 2 // 9000 - 20
    return (-1) ** (code % 2) * float(f"{digits}e{power}")


def values(data, side=0):
    """The numbers of one side of a payload, a list per model."""
    return [unpacked(row) for row in data["sides"][side]["values"]]


def close(found, wanted):
    """Whether two nested lists of numbers agree to four digits."""
    return np.allclose(np.array(found, dtype=float), np.array(wanted, dtype=float), rtol=1e-3, equal_nan=True)


def texts(data, side=0):
    """The texts of one side's cells as they are shown."""
    own = data["sides"][side]
    more = {int(place): "".join(text for _, text in cell[1]) for place, cell in own["more"].items()}
    return [more.get(place, line) for place, line in enumerate(own["cells"].split("\n"))]
