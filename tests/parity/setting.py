"""Tokenizers, rows and TRL's own preparation of them, all built in memory."""

from dataclasses import dataclass
from types import SimpleNamespace

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

LINES = [
    "The sky is blue because air scatters blue light.",
    "The ground is dark and the trees are green.",
    "Hello world, tell me a story about the sea.",
    "助手天空是蓝色的，因为空气散射蓝光。",
    "助手你好，今天天气很好，天空很蓝。",
    "user assistant",
]
CHATML = (
    "{{ bos }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TIGHT = (
    "{{ bos }}{% for m in messages %}{{ '问' if m.role == 'user' else '助手' }}"
    "{{ m.content + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}助手{% endif %}"
)
"""A template that puts the answer right behind letters, so that tokens merge over the border."""


@dataclass(frozen=True)
class Config:
    """One way to train, in the six respects that decide tokens and log-probs."""

    family: str
    explicit: bool
    chat: bool
    bos: bool
    truncated: bool

    @property
    def lora(self) -> bool:
        """Half of each kind: adapters do not change tokens, so they need no factor of their own."""
        return (self.explicit + self.chat + self.bos + self.truncated + (self.family == "qwen2")) % 2 == 1

    @property
    def max_length(self) -> int:
        return 28 if self.truncated else 1024

    def __str__(self) -> str:
        words = [self.family, "explicit" if self.explicit else "implicit", "chat" if self.chat else "text"]
        words += ["bos"] * self.bos + ["cut"] * self.truncated + ["lora" if self.lora else "full"]
        return "-".join(words)


YES_NO = (True, False)
CONFIGS = [
    Config(family, explicit, chat, bos, truncated)
    for family in ("llama", "qwen2")
    for explicit in YES_NO
    for chat in YES_NO
    for bos in YES_NO
    for truncated in YES_NO
]


def build_tokenizer(*, bos: bool = False, eos: bool = False, template: str = CHATML) -> PreTrainedTokenizerFast:
    """Byte-level BPE over English and Chinese; ``bos`` and ``eos`` are put around texts by a post-processor."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(LINES * 4, trainer)
    if bos or eos:
        around = "<s> " * bos + "$A" + " </s>" * eos
        ids = [(token, core.token_to_id(token)) for token in ("<s>", "</s>")]
        core.post_processor = processors.TemplateProcessing(single=around, special_tokens=ids)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token=None
    )
    tokenizer.chat_template = template.replace("{{ bos }}", "{{ bos_token }}" if bos else "")
    return tokenizer


QUESTIONS = [
    ("Why is the sky blue?", " Because air scatters blue light.", " The ground is dark."),
    ("为什么天", "空是蓝色的。", "气很好，散射蓝光，天空很蓝，因为空气散射蓝光。"),
    ("Tell me a sto", "ry about the sea.", "rage and trees"),
    ("今天天气好吗？", "今天天气很好。", "你好，今天天空是蓝色的。"),
    ("The trees are", " green", " green" + " and the sea is blue" * 6),
    ("Hello world, tell me a story about the sea and the sky. " * 3, "The sea.", "天空"),
    ("Say it twice: the sky", " is blue", " is blue"),
    ("天空 and 🙂", "🙃 blue\n", "🙂 蓝光"),
]


def build_rows(*, explicit: bool, chat: bool) -> list[dict]:
    """Rows of TRL's four shapes: English, Chinese, merges over the border, long prompts, equal responses."""
    if not chat:
        if explicit:
            return [{"prompt": p, "chosen": c, "rejected": r} for p, c, r in QUESTIONS]
        return [{"chosen": p + c, "rejected": p + r} for p, c, r in QUESTIONS]
    rows = [
        {"prompt": [_said("user", p)], "chosen": [_said("assistant", c)], "rejected": [_said("assistant", r)]}
        for p, c, r in QUESTIONS
    ]
    if explicit:
        return rows
    return [{side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in rows]


def _said(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def trl_ids(rows, tokenizer, *, max_length: int | None = 1024, truncation: str = "keep_start") -> list[dict]:
    """What TRL's own DPOTrainer makes of ``rows``: its prepared columns and the sequences its collator cuts."""
    from datasets import Dataset
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    args = SimpleNamespace(dataset_num_proc=None, max_length=max_length, truncation_mode=truncation)
    stand_in = SimpleNamespace(_tokenizer=tokenizer)
    # Streamed, since a map-style dataset pickles the tokenizer at every step just to name its cache.
    numbered = Dataset.from_list([{**row, "n": n} for n, row in enumerate(rows)]).to_iterable_dataset()
    prepared = list(DPOTrainer._prepare_dataset(stand_in, numbered, tokenizer, args, "eval"))
    collate = DataCollatorForPreference(
        pad_token_id=tokenizer.pad_token_id, max_length=max_length, truncation_mode=truncation
    )
    for row in prepared:
        batch = collate([row])
        real = batch["attention_mask"].bool()
        row["sequences"] = [batch["input_ids"][side][real[side]] for side in (0, 1)]
        row["scored"] = [batch["completion_mask"][side][real[side]] for side in (0, 1)]
    return prepared
