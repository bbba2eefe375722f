"""What the command line prints: the check of the rows, the summary after scoring, the demo."""

WORDS: dict[str, dict[str, str]] = {
    "check.legend": {
        "en": "Tokens stand between |; · is a space, ↵ a newline, \\xE4 a byte of a split character. What follows ┃ is scored.",
        "zh": "词元以 | 分隔；· 为空格，↵ 为换行，\\xE4 为被拆开字符的一个字节。┃ 之后的词元计入打分。",
    },
    "check.complaint": {"en": "complaint", "zh": "问题"},
    "check.first": {"en": "met first in", "zh": "首见于"},
    "check.complaint.bad_text": {
        "en": "the text is not valid Unicode: not scored",
        "zh": "文本不是合法 Unicode：不打分",
    },
    "check.complaint.template_error": {"en": "the chat template fails: not scored", "zh": "对话模板出错：不打分"},
    "check.complaint.empty": {"en": "a response is empty: not scored", "zh": "有一方回答为空：不打分"},
    "check.complaint.too_long": {
        "en": "the prompt fills max_length: not scored; TRL drops such rows",
        "zh": "提示已占满 max_length：不打分；TRL 会丢弃",
    },
    "check.complaint.double_bos": {"en": "begins with two begin-of-text tokens", "zh": "以两个起始符开头"},
    "check.complaint.double_eos": {
        "en": "a response ends with two end-of-text tokens",
        "zh": "有一方回答以两个结束符结尾",
    },
    "check.complaint.no_eos": {
        "en": "a response does not end with end-of-text: when to stop is not trained",
        "zh": "有一方回答不以结束符结尾：训练不到何时停止",
    },
    "check.complaint.truncated": {"en": "cut at max_length", "zh": "在 max_length 处被截断"},
    "check.complaint.border_shift": {
        "en": "the prompt's last tokens merge with the response, or render otherwise: the border moves left",
        "zh": "提示末尾的词元与回答合并或渲染不同：边界左移",
    },
    "check.complaint.identical": {
        "en": "chosen and rejected have the same scored tokens (equal texts, or cut before they differ): always a tie",
        "zh": "被选与被拒回答计入打分的词元相同（文本相同，或在出现差异之前已被截断）：恒为平局",
    },
    "check.complaint.duplicate": {"en": "repeats an earlier row", "zh": "与之前的行重复"},
    "check.complaint.near_duplicate": {
        "en": "says the same as an earlier row on both sides, but for case and spaces",
        "zh": "除大小写与空白外，两个回答都与之前的行相同",
    },
    "check.complaint.contradicted": {
        "en": "a response is chosen here and rejected by another pair of the same prompt, or the reverse",
        "zh": "同一提示的另一对把这里被选的回答判为被拒，或反之",
    },
    "check.complaint.both_ways": {
        "en": "the same text is chosen under one prompt and rejected under another",
        "zh": "同一文本在一个提示下被选，在另一个提示下被拒",
    },
    "check.lengths": {
        "en": "The chosen response is the longer one in {longer} of {n} pairs, the rejected one in {shorter}.",
        "zh": "{n} 对中，被选回答较长的占 {longer}，被拒回答较长的占 {shorter}。",
    },
    "check.complaint.prompt_in_splits": {"en": "another split has the same prompt", "zh": "另一数据划分中有相同的提示"},
    "check.split": {"en": "split", "zh": "数据划分"},
    "check.n_pairs": {"en": "pairs", "zh": "对数"},
    "check.conversational": {"en": "conversational", "zh": "对话形式"},
    "check.bad_text": {"en": "bad text", "zh": "文本损坏"},
    "check.tokens": {"en": "tokens, median / max", "zh": "词元数，中位 / 最大"},
    "check.no_complaints": {"en": "Nothing to complain about.", "zh": "没有发现问题。"},
    "check.no_tokenizer": {
        "en": "These are the rows as they were read. Add --tokenizer MODEL to see them as tokens.",
        "zh": "以上是读入的数据。加上 --tokenizer MODEL 可查看词元。",
    },
    "console.units": {
        "en": "rewards and margin in beta x nats; the others are shares of pairs",
        "zh": "奖励与差值的单位为 beta x nats；其余为样本对占比",
    },
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
    "console.diagnose": {
        "en": "why, and how surely: dpo-analysis diagnose {run}",
        "zh": "原因及把握程度：dpo-analysis diagnose {run}",
    },
}
