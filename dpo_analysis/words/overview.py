"""The Overview page."""

WORDS: dict[str, dict[str, str]] = {
    "overview.nav": {"en": "Overview", "zh": "概览"},
    "overview.title": {"en": "Did it learn, and at whose cost?", "zh": "学到了吗？代价由谁承担？"},
    "overview.why": {"en": "Why, and how surely?", "zh": "为什么？有多确定？"},
    "overview.reward.title": {"en": "Implicit reward", "zh": "隐式奖励"},
    "overview.reward.caption": {
        "en": "Mean of β · log(π / π_ref) per response; 0 = as likely as under the reference. Bands: the middle 80 % of the pairs (not drawn where series share a panel). Margin = chosen minus rejected.",
        "zh": "每个回答的 β · log(π / π_ref) 的均值；0 = 与参考模型同样可能。色带：中间 80 % 的样本对（多系列同图时不画）。差值 = 被选减被拒。",
    },
    "overview.overlay": {
        "en": "Thin lines with hollow marks: the trainer's own log. {why}",
        "zh": "细线空心点：训练器自己的日志。{why}",
    },
    "overview.log.other": {
        "en": "Not shown: the trainer's log of “{log}” ({series}). It is of another split; choose that split in the sidebar to see it.",
        "zh": "未显示：训练器对“{log}”的日志（{series}）。它属于另一数据划分；在侧栏选择该划分即可查看。",
    },
    "overview.log.none": {
        "en": "Not shown: the trainer's log of “{log}” ({series}). This run has no pairs of that split to lay it beside; score a run with those pairs, too (SPLIT=PAIRS), to see both.",
        "zh": "未显示：训练器对“{log}”的日志（{series}）。此运行没有该划分的样本对可与之对照；将那些样本对一并打分（SPLIT=PAIRS）即可对照查看。",
    },
    "overview.logp.title": {"en": "Log-prob per token", "zh": "每词元对数概率"},
    "overview.logp.caption": {
        "en": "Mean over all response tokens; higher = more likely. Dotted: the same responses under the reference.",
        "zh": "所有回答词元的均值；越高越可能。点线：同样的回答在参考模型下。",
    },
    "overview.accuracy.title": {
        "en": "Accuracy: by implicit reward, and by the bare policy",
        "zh": "准确率：按隐式奖励与按策略本身",
    },
    "overview.accuracy.caption": {
        "en": "By reward: the chosen response has the higher implicit reward. By policy: would the bare policy order them so, that is, find the chosen response likelier? Ties are left out; dotted: one half.",
        "zh": "按奖励：被选回答的隐式奖励更高。按策略：策略本身是否也这样排序，即认为被选回答更可能？不计平局；点线：二分之一。",
    },
    "overview.status.title": {"en": "Which pairs count", "zh": "计入哪些样本对"},
    "overview.status.caption": {
        "en": "Pairs by status. Only pairs scored under the policy and the reference are in the means above.",
        "zh": "按状态统计的样本对数。只有在策略和参考模型下都打了分的样本对计入上面的均值。",
    },
    "overview.status.used": {"en": "counted", "zh": "计入"},
    "overview.status.all": {"en": "every checkpoint", "zh": "所有检查点"},
    "overview.status.model": {"en": "checkpoint", "zh": "检查点"},
    "overview.positions.title": {"en": "Where in the response", "zh": "回答中的位置"},
    "overview.positions.caption": {
        "en": "Mean log-ratio of the tokens at each position, against the reference: orange = less likely, blue = more likely. Later positions have fewer pairs (see the hover).",
        "zh": "各位置词元相对参考模型的平均对数比：橙色 = 更不可能，蓝色 = 更可能。越靠后样本对越少（见悬停）。",
    },
    "overview.worst.title": {"en": "Pairs with the lowest chosen reward", "zh": "被选奖励最低的样本对"},
    "overview.worst.caption": {
        "en": "Rewards at the last checkpoint of each series, in β × nats; tokens of the chosen response. Select a row to see them.",
        "zh": "各系列最后一个检查点的奖励，单位 β × nats；词元数为被选回答的。选中一行即可查看其词元。",
    },
    "overview.column.model": {"en": "checkpoint", "zh": "检查点"},
    "overview.column.chosen_reward": {"en": "chosen", "zh": "被选"},
    "overview.column.rejected_reward": {"en": "rejected", "zh": "被拒"},
    "overview.column.margin": {"en": "margin", "zh": "差值"},
    "overview.column.chosen_n_tokens": {"en": "tokens", "zh": "词元数"},
    "overview.column.prompt": {"en": "prompt", "zh": "提示"},
    "overview.overlay.more": {
        "en": "Why the trainer's log and these curves differ, and by how much",
        "zh": "日志与这些曲线为何不同、相差多少",
    },
    "overview.overlay.largest": {
        "en": "{series}: the largest difference of the three curves is {difference} β × nats ({metric}, step {step}; checkpoints compared: {n}).",
        "zh": "{series}：三条曲线中最大相差 {difference} β × nats（{metric}，第 {step} 步；比较了 {n} 个检查点）。",
    },
    "overview.layout": {"en": "Panels", "zh": "图的排布"},
    "overview.layout.series": {"en": "a panel per series, one scale", "zh": "每系列一图，同一刻度"},
    "overview.layout.free": {"en": "a panel per series, own scale", "zh": "每系列一图，各自刻度"},
    "overview.layout.together": {"en": "all series in one", "zh": "所有系列同图"},
}
