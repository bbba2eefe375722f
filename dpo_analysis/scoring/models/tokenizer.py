"""The tokenizer in a model's folder, with a chat template of the caller's where it has none; no code from outside."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models import model_folders
from dpo_analysis.scoring.models.preflight import ModelFiles, read_json
from dpo_analysis.scoring.models.weight_files import file_sha256, json_sha256

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SETTINGS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
)


def load_tokenizer(
    source: str | Path | ModelFiles, *, chat_template: str | Path | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of ``source``; an adapter without one has its base's.

    Args:
        source: a folder or hub id, or files found before.
        chat_template: a file with a Jinja template, put in place of the tokenizer's own.

    Raises:
        InputError: there is none, it does not load, or it would need code from its folder.
    """
    folder = _tokenizer_folder(source)
    if (folder / "tokenizer_config.json").is_file():
        config = read_json(folder / "tokenizer_config.json", missing="")
        if config.get("auto_map") and any(folder.glob("*.py")):
            raise InputError(f"tokenizer code in {folder}: code from a checkpoint is never run; use a built-in one")
    if (folder / "tokenizer.json").is_file():
        model = read_json(folder / "tokenizer.json", missing="").get("model")
        if not isinstance(model, dict) or "vocab" not in model:
            raise InputError(f"bad tokenizer.json in {folder}: it holds no vocabulary; copy the file again")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"no tokenizer from {folder}: {why}; copy its tokenizer files or pass --tokenizer") from error
    if chat_template is not None:
        tokenizer.chat_template = _template(Path(chat_template))
    return tokenizer


def has_tokenizer(folder: Path) -> bool:
    """Whether ``folder`` holds a tokenizer of its own."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def tokenizer_content(folder: Path) -> str:
    """One hash of the tokenizer's files in ``folder``: equal files are the same tokenizer and need no comparison."""
    names = [*TOKENIZER_FILES, *_SETTINGS]
    return json_sha256([[name, file_sha256(folder / name)] for name in names if (folder / name).is_file()])


def _tokenizer_folder(source: str | Path | ModelFiles) -> Path:
    if not isinstance(source, ModelFiles):
        folder = model_folders.model_folder(source)
        if has_tokenizer(folder) or not (folder / "adapter_config.json").is_file():
            candidates = [folder]
        else:
            candidates = [model_folders.recorded_base(folder, read_json(folder / "adapter_config.json", missing=""))]
    else:
        candidates = [source.folder, source.full.folder]
    found = next((folder for folder in candidates if has_tokenizer(folder)), None)
    if found is None:
        raise InputError(f"no tokenizer in {candidates[-1]}: it has no tokenizer.json; pass --tokenizer FOLDER")
    return found


def _template(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"unreadable chat template {path}: {error}; give a Jinja file in UTF-8") from error
