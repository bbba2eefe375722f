"""OpenRLHF: checkpoints called global_stepN_hf, and no settings in any file."""

import re

from dpo_analysis.trainer.folder import TrainerFolder
from dpo_analysis.trainer.training import Fact, Facts

NAME = "OpenRLHF"
MAX_LENGTH = 512
"""Its default of ``--data.max_len``, in tokens of prompt + response."""
FOLDER_NAME = re.compile(r"global_step\d+_hf")


def openrlhf_facts(folder: TrainerFolder) -> Facts | None:
    """Return what a folder of OpenRLHF says; None where another trainer wrote it."""
    if not any(FOLDER_NAME.fullmatch(path.name) for _, path in folder.checkpoints):
        return None
    return {
        "trainer": Fact(NAME, "the names of the checkpoints"),
        "tokenization": Fact("openrlhf", "the names of the checkpoints"),
        "max_length": Fact(MAX_LENGTH, "OpenRLHF's default of max_len; no file says", assumed=True),
        "loss_type": Fact("sigmoid", "OpenRLHF's default; no file says", assumed=True),
    }
