"""Axes, line ends, hovers and headlines of the figures."""

WORDS: dict[str, dict[str, str]] = {
    "figure.save": {"en": "Save this figure as SVG", "zh": "将此图另存为 SVG"},
    "figure.axis.reward": {"en": "implicit reward", "zh": "隐式奖励"},
    "figure.axis.logp": {"en": "log-prob", "zh": "对数概率"},
    "figure.axis.accuracy": {"en": "share of pairs", "zh": "占比（对）"},
    "figure.axis.step": {"en": "training step", "zh": "训练步数"},
    "figure.axis.position": {"en": "position in the response (tokens)", "zh": "在回答中的位置（词元）"},
    "figure.axis.title": {"en": "{name} ({unit})", "zh": "{name}（{unit}）"},
    "figure.step": {"en": "step {step}", "zh": "第 {step} 步"},
    "figure.used": {"en": "{split}, pairs counted: {used} of {total}", "zh": "{split}，{total} 对中计入 {used} 对"},
    "figure.start": {
        "en": "{name} <b>{value}</b>: training began at the reference",
        "zh": "{name} <b>{value}</b>：训练从参考模型开始",
    },
    "figure.logged": {"en": "{name}, the trainer's log: <b>{value}</b>", "zh": "{name}，训练日志：<b>{value}</b>"},
    "figure.line.chosen_reward": {"en": "chosen", "zh": "被选"},
    "figure.line.rejected_reward": {"en": "rejected", "zh": "被拒"},
    "figure.line.margin": {"en": "margin", "zh": "差值"},
    "figure.line.chosen_logps_per_token": {"en": "chosen", "zh": "被选"},
    "figure.line.rejected_logps_per_token": {"en": "rejected", "zh": "被拒"},
    "figure.line.accuracy": {"en": "by reward", "zh": "按奖励"},
    "figure.line.ranking_accuracy": {"en": "by policy", "zh": "按策略"},
    "figure.line.reference": {"en": "reference", "zh": "参考模型"},
    "figure.hover.position": {
        "en": "{model}, position {position}: <b>{value}</b> nats per token (mean; pairs: {n})",
        "zh": "{model}，位置 {position}：每词元 <b>{value}</b> nats（{n} 对的均值）",
    },
    "figure.hover.token": {
        "en": "“{token}”, position {position}, {model}: <b>{value}</b>",
        "zh": "“{token}”，位置 {position}，{model}：<b>{value}</b>",
    },
    "figure.headline.fell": {
        "en": "chosen responses lost probability: mean log-prob against the reference {drift} nats per response (rejected: {rejected} nats); reward margin {margin} β × nats",
        "zh": "被选回答的概率下降：相对参考模型，对数概率平均每个回答 {drift} nats（被拒：{rejected} nats）；奖励差 {margin} β × nats",
    },
    "figure.headline.rose": {
        "en": "chosen responses gained probability: mean log-prob against the reference {drift} nats per response (rejected: {rejected} nats); reward margin {margin} β × nats",
        "zh": "被选回答的概率上升：相对参考模型，对数概率平均每个回答 {drift} nats（被拒：{rejected} nats）；奖励差 {margin} β × nats",
    },
    "figure.headline.level": {
        "en": "chosen responses hardly moved: mean log-prob against the reference {drift} nats per response, the interval includes 0 (rejected: {rejected} nats); reward margin {margin} β × nats",
        "zh": "被选回答几乎未变：相对参考模型，对数概率平均每个回答 {drift} nats，区间包含 0（被拒：{rejected} nats）；奖励差 {margin} β × nats",
    },
    "figure.headline.since": {"en": ", below the reference from {model} on", "zh": "，自{model}起低于参考模型"},
    "figure.headline.none": {
        "en": "no pair counts yet (of {total}): see the statuses below.",
        "zh": "{total} 对中没有可计入的：见下方状态。",
    },
    "figure.headline.evidence": {
        "en": "At {model} their implicit reward is {reward} β × nats{since}; the chosen response is less likely than under the reference in {share} of the pairs. Pairs counted: {used} of {total}.",
        "zh": "在{model}，其隐式奖励为 {reward} β × nats{since}；{share} 的样本对中，被选回答比在参考模型下更不可能。共 {total} 对，计入 {used} 对。",
    },
    "figure.nothing": {"en": "Nothing is scored here yet.", "zh": "这里还没有打分。"},
    "figure.log.chosen_reward": {"en": "chosen reward", "zh": "被选奖励"},
    "figure.log.rejected_reward": {"en": "rejected reward", "zh": "被拒奖励"},
    "figure.log.margin": {"en": "margin", "zh": "差值"},
}
