"""The tokenizer in a model's folder, with a chat template from the caller; code in the folder is never run."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from dpo_analysis.data.bounded_worker import LimitReached, call_bounded
from dpo_analysis.data.vocab import FINGERPRINT_TEXTS, template_hash
from dpo_analysis.errors import InputError
from dpo_analysis.scoring.models import model_folders
from dpo_analysis.scoring.models.adapters.load_errors import LOAD_ERRORS
from dpo_analysis.scoring.models.preflight import read_json
from dpo_analysis.scoring.models.weight_files import file_sha256, json_sha256
from dpo_analysis.trainer.folder import expanded

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_CONFIG_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
)


def load_tokenizer(source: str | Path, *, chat_template: str | Path | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model; for an adapter without a tokenizer, that of its base.

    Args:
        source: a folder or hub id.
        chat_template: a file with a Jinja template that takes the place of the tokenizer's.

    Raises:
        InputError: there is no tokenizer, it does not load, or it would need code from its folder.
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
    except LOAD_ERRORS as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"no tokenizer from {folder}: {why}; copy its tokenizer files or pass --tokenizer") from error
    _try_out(tokenizer, folder)
    if chat_template is not None:
        tokenizer.chat_template = _read_template(Path(chat_template))
    return tokenizer


def _try_out(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Tokenize a few texts in a child process with limits: the rules in a tokenizer's files may take forever.

    Raises:
        InputError: it takes more than a few seconds or a gigabyte, or crashes.
    """
    try:
        call_bounded(lambda: len(tokenizer([*FINGERPRINT_TEXTS, " ".join(FINGERPRINT_TEXTS)])["input_ids"]))
    except LimitReached as error:
        raise InputError(
            f"the tokenizer in {folder} cannot be used: on a few short texts {error.excess}; copy its files again or "
            "pass --tokenizer"
        ) from None
    except Exception as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"the tokenizer in {folder} fails on short texts: {why}; copy its files again") from error


def has_tokenizer(folder: Path) -> bool:
    """Return whether ``folder`` holds a tokenizer."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def tokenizer_content(folder: Path) -> str:
    """Return one hash of the tokenizer's files in ``folder``; tokenizers of equal files need no further comparison."""
    names = [*TOKENIZER_FILES, *_CONFIG_FILES]
    return json_sha256([[name, file_sha256(folder / name)] for name in names if (folder / name).is_file()])


def stored_template_hash(folder: Path) -> str:
    """Return ``data.vocab.template_hash`` of the chat template beside a model; empty without one, or where unreadable.

    transformers reads the template of a file of its own before that of the tokenizer's configuration. The hash serves
    a comparison only, so a file that loading would refuse is passed over.
    """
    file = folder / "chat_template.jinja"
    if (folder / "additional_chat_templates").is_dir():  # several templates, of which messages choose
        return ""
    try:
        if file.is_file():
            return template_hash(_read_template(file))
        template = read_json(folder / "tokenizer_config.json", missing="").get("chat_template")
    except InputError:
        return ""
    return template_hash(template) if template and isinstance(template, str) else ""


def _tokenizer_folder(source: str | Path) -> Path:
    folder = model_folders.model_folder(source)
    if not has_tokenizer(folder) and (folder / "adapter_config.json").is_file():
        folder = model_folders.recorded_base(folder, read_json(folder / "adapter_config.json", missing=""))
    if not has_tokenizer(folder):
        raise InputError(f"no tokenizer in {folder}: it has no tokenizer.json; pass --tokenizer FOLDER")
    return folder


def _read_template(path: Path) -> str:
    try:
        return expanded(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"unreadable chat template {path}: {error}; give a Jinja file in UTF-8") from error
