"""Every sentence, label and title a person reads: key -> English and Chinese.

A key names where it is read and what it says (``overview.title``). Values may hold ``{fields}`` for ``str.format``.
Error lines on the command line stay English; everything in the app, the figures and the reports comes from here.
"""

LANGUAGES = {"en": "English", "zh": "中文"}

WORDS: dict[str, dict[str, str]] = {
    "console.chosen_falls": {
        "en": "{series}, {split}: at {model} the chosen reward is {reward} beta x nats, below the reference; it fell in {share} of {n} pairs while the mean margin is {margin} beta x nats.",
        "zh": "{series}，{split}：在 {model}，被选回答的隐式奖励为 {reward} beta x nats，低于参考模型；{n} 对中有 {share} 下降，平均差值为 {margin} beta x nats。",
    },
    "console.chosen_rises": {
        "en": "{series}, {split}: at {model} the chosen reward is {reward} beta x nats, not below the reference; it fell in {share} of {n} pairs; the mean margin is {margin} beta x nats.",
        "zh": "{series}，{split}：在 {model}，被选回答的隐式奖励为 {reward} beta x nats，未低于参考模型；{n} 对中有 {share} 下降；平均差值为 {margin} beta x nats。",
    },
    "demo.scoring": {
        "en": "Scoring the sample: 150 held-out and 150 training pairs under the reference and fifteen checkpoints, into {out}",
        "zh": "正在为示例打分：150 对留出数据和 150 对训练数据，参考模型与十五个检查点，写入 {out}",
    },
    "demo.no_torch": {
        "en": "This environment has no {names}: opening the sample run that was scored before. To score models: pip install 'dpo-analysis[score]'.",
        "zh": "此环境没有 {names}：打开预先打好分的示例。要给模型打分：pip install 'dpo-analysis[score]'。",
    },
    "demo.no_checkpoints": {
        "en": "The sample's checkpoints are not in this installation (they lie in the repository): opening the sample run that was scored before.",
        "zh": "此安装不含示例的检查点（它们在代码仓库里）：打开预先打好分的示例。",
    },
    "side.chosen": {"en": "chosen", "zh": "被选回答"},
    "side.rejected": {"en": "rejected", "zh": "被拒回答"},
}


def text(key: str, lang: str = "en", **values: object) -> str:
    """The words behind ``key`` in ``lang``, with ``values`` put in.

    Raises:
        KeyError: ``key`` or ``lang`` is unknown; a test keeps both languages complete.
    """
    return WORDS[key][lang].format(**values) if values else WORDS[key][lang]
