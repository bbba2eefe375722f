"""The Details page: configuration, files, log and glossary."""

WORDS: dict[str, dict[str, str]] = {
    "details.nav": {"en": "Details", "zh": "详情"},
    "details.title": {"en": "What was run, and what do the words mean?", "zh": "运行了什么？词语是什么意思？"},
    "details.command.title": {"en": "Command", "zh": "命令"},
    "details.command.caption": {
        "en": "What was typed, as log.jsonl has it.",
        "zh": "当时输入的命令，取自 log.jsonl。",
    },
    "details.command.none": {
        "en": "The log of this run does not hold the command that made it. The models and settings below are what it read.",
        "zh": "此运行的日志没有记下生成它的命令。下面是它读取的模型与设置。",
    },
    "details.settings.title": {"en": "Inputs", "zh": "输入"},
    "details.settings.caption": {
        "en": "What every number comes from; a run is only ever resumed with the same. Hashes are SHA-256.",
        "zh": "所有数字的来源；只有这些完全相同才能续跑。哈希为 SHA-256。",
    },
    "details.series.title": {"en": "Series", "zh": "系列"},
    "details.series.caption": {
        "en": "How rewards and losses are computed for each training run.",
        "zh": "各次训练的奖励与损失如何计算。",
    },
    "details.models.title": {"en": "Models", "zh": "模型"},
    "details.models.caption": {
        "en": "As they were named, where they were read from, and the first 16 letters of the hash of their weights; manifest.json has all.",
        "zh": "名称、读取位置与权重哈希的前 16 个字母；完整的见 manifest.json。",
    },
    "details.log.title": {"en": "Log", "zh": "日志"},
    "details.log.caption": {
        "en": "What happened while scoring, newest first: versions, device, speed, notes.",
        "zh": "打分过程中发生的事，新的在前：版本、设备、速度、说明。",
    },
    "details.log.none": {"en": "This run has no log.jsonl.", "zh": "此运行没有 log.jsonl。"},
    "details.glossary.title": {"en": "Words", "zh": "词语"},
    "details.glossary.caption": {
        "en": "What the numbers are, what they are not, and their formulas. All logarithms are natural: the unit is the nat.",
        "zh": "各数值是什么、不是什么，以及公式。对数均为自然对数，单位为 nat。",
    },
    "details.columns.title": {"en": "Every column", "zh": "全部列"},
    "details.columns.caption": {
        "en": "As they stand in the tables and in the exported files: of rows (pairs, responses, tokens), and of steps (over pairs).",
        "zh": "表格与导出文件中的各列：行（样本对、回答、词元）与步（对样本对汇总）。",
    },
    "details.column.name": {"en": "name", "zh": "名称"},
    "details.column.of": {"en": "of", "zh": "属于"},
    "details.of.column": {"en": "rows", "zh": "行"},
    "details.of.metric": {"en": "steps", "zh": "步"},
    "details.column.unit": {"en": "unit", "zh": "单位"},
    "details.column.meaning": {"en": "meaning", "zh": "含义"},
    "details.column.series": {"en": "series", "zh": "系列"},
    "details.column.step": {"en": "step", "zh": "步数"},
    "details.column.kind": {"en": "kind", "zh": "类型"},
    "details.column.source": {"en": "source", "zh": "来源"},
    "details.column.weights": {"en": "weights (SHA-256)", "zh": "权重（SHA-256）"},
    "details.column.parts": {"en": "parts", "zh": "分块"},
    "details.column.beta": {"en": "β", "zh": "β"},
    "details.column.loss_type": {"en": "loss", "zh": "损失"},
    "details.column.parameters": {"en": "parameters", "zh": "参数"},
    "details.column.logged_logps": {"en": "logged log-probs", "zh": "日志中的对数概率"},
    "details.column.start": {"en": "training began at", "zh": "训练起点"},
    "details.column.time": {"en": "time (UTC)", "zh": "时间（UTC）"},
    "details.column.event": {"en": "event", "zh": "事件"},
    "details.column.facts": {"en": "facts", "zh": "内容"},
    "details.term.logits": {"en": "logits", "zh": "logits（未归一化分数）"},
    "details.term.logits.formula": {"en": "z(a | s), one per vocabulary entry", "zh": "z(a | s)，词表每项一个"},
    "details.term.logits.meaning": {
        "en": "A model's raw scores for the next token. They are defined up to a constant per position, so a logit by itself says nothing; only differences do. They are not stored.",
        "zh": "模型对下一个词元的原始分数。每个位置可整体加减一个常数，因此单个 logit 没有意义，只有差值有意义。不存储。",
    },
    "details.term.logp": {"en": "logp: log-prob of a token", "zh": "logp：词元的对数概率"},
    "details.term.logp.formula": {
        "en": "log π(y_t | x, y_<t) = z(y_t) − log Σ_a exp z(a)",
        "zh": "log π(y_t | x, y_<t) = z(y_t) − log Σ_a exp z(a)",
    },
    "details.term.logp.meaning": {
        "en": "How likely the model finds this token behind what stands before it; 0 = certain, −0.69 = one half. Identified, and the same in every library up to rounding.",
        "zh": "在前文之后模型认为该词元有多可能；0 = 必然，−0.69 = 一半。它是可识别的，除舍入外各库一致。",
    },
    "details.term.logps": {"en": "logps: log-prob of a response", "zh": "logps：回答的对数概率"},
    "details.term.logps.formula": {
        "en": "log π(y | x) = Σ_t log π(y_t | x, y_<t)",
        "zh": "log π(y | x) = Σ_t log π(y_t | x, y_<t)",
    },
    "details.term.logps.meaning": {
        "en": "The sum over the response's tokens, its end of text among them. Longer responses have lower sums whatever their quality.",
        "zh": "对回答的所有词元（含结束符）求和。回答越长，和越低，与好坏无关。",
    },
    "details.term.average": {"en": "average log-prob", "zh": "平均对数概率"},
    "details.term.average.formula": {"en": "log π(y | x) / T", "zh": "log π(y | x) / T"},
    "details.term.average.meaning": {
        "en": "Per token: comparable across lengths, but it is not what DPO trains, and a response can gain in the average while it loses in the sum.",
        "zh": "每词元的值：不同长度可比，但 DPO 训练的不是它；平均值上升时，总和仍可能下降。",
    },
    "details.term.log_ratio": {"en": "log-ratio, drift", "zh": "对数比、漂移"},
    "details.term.log_ratio.formula": {
        "en": "log π(y | x) − log π_ref(y | x)",
        "zh": "log π(y | x) − log π_ref(y | x)",
    },
    "details.term.log_ratio.meaning": {
        "en": "The change of the log-prob against the reference. With a fixed reference a change of it over steps is exactly the change of logps: nothing can fall “only against the reference”.",
        "zh": "相对参考模型的对数概率变化。参考模型固定时，它随步数的变化正是 logps 的变化：不存在“只相对参考模型下降”。",
    },
    "details.term.reward": {"en": "implicit reward", "zh": "隐式奖励"},
    "details.term.reward.formula": {
        "en": "r(x, y) = β · log( π(y | x) / π_ref(y | x) ) + const(x)",
        "zh": "r(x, y) = β · log( π(y | x) / π_ref(y | x) ) + const(x)",
    },
    "details.term.reward.meaning": {
        "en": "The reward that DPO fits. The constant of the prompt is not identified: rewards of two responses to one prompt compare, those of two prompts do not (arXiv:2305.18290).",
        "zh": "DPO 所拟合的奖励。提示的常数不可识别：同一提示的两个回答可比，不同提示之间不可比（arXiv:2305.18290）。",
    },
    "details.term.margin": {"en": "margin", "zh": "差值"},
    "details.term.margin.formula": {
        "en": "r(x, chosen) − r(x, rejected)",
        "zh": "r(x, chosen) − r(x, rejected)",
    },
    "details.term.margin.meaning": {
        "en": "All that the loss sees. It grows as well when both responses lose probability and the rejected one loses more.",
        "zh": "损失只看它。两个回答都失去概率、而被拒失去更多时，它同样变大。",
    },
    "details.term.advantage": {"en": "advantage of a token", "zh": "词元的优势"},
    "details.term.advantage.formula": {
        "en": "a_t = β · log( π(y_t | s_t) / π_ref(y_t | s_t) )",
        "zh": "a_t = β · log( π(y_t | s_t) / π_ref(y_t | s_t) )",
    },
    "details.term.advantage.meaning": {
        "en": "The token's implicit reward. It is the change of the value, a_t = V(s_t+1) − V(s_t); what part of it is reward and what part value is not identified (arXiv:2404.12358).",
        "zh": "词元的隐式奖励，等于价值的变化 a_t = V(s_t+1) − V(s_t)；其中多少是奖励、多少是价值，不可识别（arXiv:2404.12358）。",
    },
    "details.term.value": {"en": "value", "zh": "价值"},
    "details.term.value.formula": {
        "en": "V_t = Σ_{i ≤ t} a_i = β · log E_ref[ exp(R / β) | y_≤t ]",
        "zh": "V_t = Σ_{i ≤ t} a_i = β · log E_ref[ exp(R / β) | y_≤t ]",
    },
    "details.term.value.meaning": {
        "en": "The running sum: Q of the token so far, V after it. Exact for every policy and reference, with R the implicit reward of the whole response as the reference would go on.",
        "zh": "累计和：到该词元为止的 Q，之后的 V。对任何策略与参考模型都精确成立；R 为按参考模型续写的整个回答的隐式奖励。",
    },
    "details.term.displacement": {"en": "displacement", "zh": "似然位移"},
    "details.term.displacement.formula": {
        "en": "log-ratio of chosen < 0 while the margin grows",
        "zh": "差值变大而被选的对数比 < 0",
    },
    "details.term.displacement.meaning": {
        "en": "The chosen response loses probability although the pair is learned: the probability went to other texts (arXiv:2410.08847).",
        "zh": "样本对学会了，被选回答却失去概率：概率去了别的文本（arXiv:2410.08847）。",
    },
}
