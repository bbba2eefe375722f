"""The glossary's causes: when each is called likely, and what it means. Numbers in braces are those of thresholds."""

WORDS: dict[str, dict[str, str]] = {
    "glossary.artefact.rule": {
        "en": "a check of the setup failed; or ≥ {OFF_LOG:.0%} of the logged values lie off; or ≥ {MISENDED:.0%} of the pairs lack an end of text or have a mark twice",
        "zh": "某项设置检查不通过；或 ≥ {OFF_LOG:.0%} 的日志值偏离；或 ≥ {MISENDED:.0%} 的样本对缺结束符或标记重复",
    },
    "glossary.artefact.meaning": {
        "en": "Other weights, template, ends of text or reference than the trainer's. It outranks every other cause.",
        "zh": "权重、模板、结束符或参考模型与训练时不同。它优先于其他一切原因。",
    },
    "glossary.contradiction.rule": {
        "en": "≥ {CONTRADICTED:.0%} of the nats that fallen pairs lost in pairs that another pair of the same prompt judges the other way, which ≥ {CONTRADICTED_PAIRS:.0%} of all pairs are; or ≥ {TURNED:.0%} (among near copies {TURNED_NEAR:.0%}) in pairs that others turn round, and {TIMES:g} ({TIMES_NEAR:g}) times their share of all pairs",
        "zh": "下降样本对所失 nats 的 ≥ {CONTRADICTED:.0%} 位于被同一提示的另一对反向判断的样本对，且此类占全部的 ≥ {CONTRADICTED_PAIRS:.0%}；或 ≥ {TURNED:.0%}（几乎相同者 {TURNED_NEAR:.0%}）位于被他对颠倒的样本对，且为其占全部比例的 {TIMES:g}（{TIMES_NEAR:g}）倍",
    },
    "glossary.contradiction.meaning": {
        "en": "What is chosen here is rejected there: the same response, or (turned round) what the two responses differ by. Swapped labels look like this.",
        "zh": "此处被选的在别处被拒：同一个回答，或（被颠倒）两个回答的不同之处。标注颠倒就是这样。",
    },
    "glossary.off_policy_rejected.rule": {
        "en": "under the reference a rejected token is less likely than a chosen one by > {OFF_POLICY:g} nats per token (gap, mean over fallen pairs)",
        "zh": "参考模型下，被拒词元比被选词元每个低 > {OFF_POLICY:g} nats（gap，下降样本对的均值）",
    },
    "glossary.off_policy_rejected.meaning": {
        "en": "The rejected responses are nothing that the reference would say.",
        "zh": "被拒回答是参考模型不会说的。",
    },
    "glossary.collision.rule": {
        "en": "at a place C ≥ {DATA_DRIVEN:.0%} or C + P ≥ {PULL_DRIVEN:.0%}, and X > {PUSH:g} or C > {MOSTLY:.0%} of C + P; between push and pull it is undecided",
        "zh": "某位置 C ≥ {DATA_DRIVEN:.0%} 或 C + P ≥ {PULL_DRIVEN:.0%}，且 X > {PUSH:g} 或 C 占 C + P 的 {MOSTLY:.0%} 以上；介于推与拉之间则未定",
    },
    "glossary.collision.meaning": {
        "en": "Other pairs reject what these choose, in the same context.",
        "zh": "其他样本对在相同上下文中拒绝了此处所选的。",
    },
    "glossary.competing_answer.rule": {
        "en": "as style drift, in the core; a gain of the others counts from {SHIFTED_CORE:g} nats per pair there, at edit distances from {NEAR:g} to {ALIKE:g}",
        "zh": "同文风漂移，但在主体；其他回答在那里的增加从每对 {SHIFTED_CORE:g} nats 起算，编辑距离在 {NEAR:g} 与 {ALIKE:g} 之间",
    },
    "glossary.competing_answer.meaning": {
        "en": "Another formulation of the content rises in the other pairs.",
        "zh": "内容的另一种表述在其他样本对中上升。",
    },
    "glossary.style_drift.rule": {
        "en": "at opening or closing C + P ≥ {PULL_DRIVEN:.0%}, and X < {PULL:g} with P ≥ C or P > {MOSTLY:.0%} of C + P; or the chosen responses that did not fall gained ≥ {SHIFTED:g} nats per pair there",
        "zh": "在开头或结尾 C + P ≥ {PULL_DRIVEN:.0%}，且 X < {PULL:g} 而 P ≥ C，或 P 占 C + P 的 {MOSTLY:.0%} 以上；或未下降的被选回答在那里每对增加 ≥ {SHIFTED:g} nats",
    },
    "glossary.style_drift.meaning": {
        "en": "Only the wording changes: other openings or closings rise.",
        "zh": "只是措辞在变：别的开头或结尾在上升。",
    },
    "glossary.reference_effect.rule": {
        "en": "ratio = Δ log-prob of both responses of all pairs / (−2 Σ KL(π_ref ‖ π)) from {EXPECTED[0]:g} to {EXPECTED[1]:g}, mean |credit_z| < {KEPT_CREDIT:g} standard deviations, gap within {KEPT_GAP:g} nats per token, edit distance ≥ {FAR:g}",
        "zh": "比率 = 全部样本对两个回答的对数概率变化 / (−2 Σ KL(π_ref ‖ π)) 在 {EXPECTED[0]:g} 与 {EXPECTED[1]:g} 之间，|credit_z| 均值 < {KEPT_CREDIT:g} 个标准差，gap 不超过每词元 {KEPT_GAP:g} nats，编辑距离 ≥ {FAR:g}",
    },
    "glossary.reference_effect.meaning": {
        "en": "The responses look like the reference's own answers. A policy that moves takes probability from those, whichever of two is labelled chosen; a ratio of 1 is exactly that.",
        "zh": "回答看起来就是参考模型自己的回答。策略一移动，就会从这些回答拿走概率，无论哪一个标为被选；比率 1 正是如此。",
    },
    "glossary.length_or_eos.rule": {
        "en": "≥ {AT_THE_END:.0%} of the lost log-prob on end-of-text tokens; or ≥ {SOONER:.0%} of it went to an end of text in front of closings that others reject",
        "zh": "≥ {AT_THE_END:.0%} 的损失的对数概率在结束符上；或 ≥ {SOONER:.0%} 在他对所拒的结尾之前流向结束符",
    },
    "glossary.length_or_eos.meaning": {
        "en": "Responses go on behind their end, or end before it.",
        "zh": "回答越过其结尾继续，或提前结束。",
    },
    "glossary.generic_drift.rule": {
        "en": "highest mean chosen change ≤ {NEVER_ROSE:g} nats, seen within the first {EARLY:.0%} of the training; or edit distance ≥ {FAR:g} and none of the causes above",
        "zh": "被选均值变化的最高值 ≤ {NEVER_ROSE:g} nats（训练前 {EARLY:.0%} 内已有观测）；或编辑距离 ≥ {FAR:g} 且不属于以上原因",
    },
    "glossary.generic_drift.meaning": {
        "en": "Everything falls: too large a step, or too many.",
        "zh": "一切都在下降：步长过大，或步数过多。",
    },
    "glossary.near_identical.rule": {
        "en": "edit distance < {NEAR:g}, highest mean change below {RISEN:g} nats and above {NEVER_ROSE:g}, at most {NOWHERE:.0%} of the loss in no data, and none of the causes above",
        "zh": "编辑距离 < {NEAR:g}，最高均值变化在 {NEVER_ROSE:g} 与 {RISEN:g} nats 之间，损失中不在数据者至多 {NOWHERE:.0%}，且不属于以上原因",
    },
    "glossary.near_identical.meaning": {
        "en": "Chosen and rejected share nearly all of their tokens, and what pushes the rejected one down pushes these.",
        "zh": "被选与被拒几乎共享全部词元，压低被拒的同时也压低了它们。",
    },
    "glossary.unexplained.rule": {"en": "1 − C − P − in no data", "zh": "1 − C − P − 不在数据中"},
    "glossary.unexplained.meaning": {
        "en": "What no text of the run and no improbable gainer accounts for: a share like any other.",
        "zh": "运行中的文本与不大可能的增加者都不能解释的部分：与其他比例一样列出。",
    },
}
