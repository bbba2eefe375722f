"""The diagnosis: is there a fall, where the loss belongs, the verdicts, what stays open, and the signals."""

WORDS: dict[str, dict[str, str]] = {
    "diagnosis.fall.below_start": {
        "en": "The chosen responses fell: {drop} nats per pair against the reference ({low} to {high} nats, 95 % interval), in {share} of {n} pairs, below it since {since}. {worst} of what was lost lies in the tenth of the pairs that lost most.",
        "zh": "被选回答下降了：相对参考模型每对 {drop} nats（{low} 至 {high} nats，95 % 区间），占 {n} 对中的 {share}，自{since}起低于参考模型。所失中有 {worst} 出自损失最多的十分之一样本对。",
    },
    "diagnosis.fall.hidden": {
        "en": "The mean hides a fall: it moved by {drop} nats per pair against the reference ({low} to {high} nats), while {lost} nats per pair were lost in {share} of {n} pairs. {worst} of that lies in the tenth of the pairs that lost most.",
        "zh": "均值掩盖了下降：相对参考模型均值变化为每对 {drop} nats（{low} 至 {high} nats），而 {n} 对中有 {share} 共损失每对 {lost} nats。其中 {worst} 出自损失最多的十分之一样本对。",
    },
    "diagnosis.fall.below_peak": {
        "en": "The chosen responses fell from their own peak at {since}: {drop} nats per pair since ({low} to {high} nats), in {share} of {n} pairs. They are not below the reference.",
        "zh": "被选回答自其峰值（{since}）起下降：每对 {drop} nats（{low} 至 {high} nats），占 {n} 对中的 {share}。它们并不低于参考模型。",
    },
    "diagnosis.fall.offset": {
        "en": "The chosen responses are below the reference from the first checkpoint on and did not fall further: {drop} nats per pair ({low} to {high} nats), in {share} of {n} pairs. What happened lies before {since}, or in the setup.",
        "zh": "被选回答从第一个检查点起就低于参考模型，此后未再下降：每对 {drop} nats（{low} 至 {high} nats），占 {n} 对中的 {share}。原因在{since}之前，或在设置之中。",
    },
    "diagnosis.fall.noise": {
        "en": "The change of the chosen responses lies within the noise floor: {drop} nats per pair ({low} to {high} nats, {n} pairs).",
        "zh": "被选回答的变化在噪声之内：每对 {drop} nats（{low} 至 {high} nats，{n} 对）。",
    },
    "diagnosis.fall.none": {
        "en": "The chosen responses did not fall: {drop} nats per pair against the reference ({low} to {high} nats, {n} pairs).",
        "zh": "被选回答没有下降：相对参考模型每对 {drop} nats（{low} 至 {high} nats，{n} 对）。",
    },
    "diagnosis.at_end": {
        "en": "At the last checkpoint: chosen reward {chosen_reward}, rejected reward {rejected_reward}, margin {margin} β × nats; accuracy {accuracy}, ranking accuracy of the bare policy {ranking_accuracy} (shares of pairs); loss {loss}.",
        "zh": "最后一个检查点：被选奖励 {chosen_reward}、被拒奖励 {rejected_reward}、差值 {margin} β × nats；准确率 {accuracy}、策略本身的排序准确率 {ranking_accuracy}（样本对占比）；损失 {loss}。",
    },
    "diagnosis.step": {"en": "step {step}", "zh": "第 {step} 步"},
    "diagnosis.step.unknown": {"en": "the first checkpoint", "zh": "第一个检查点"},
    "diagnosis.used": {
        "en": "Read at {model}: the first checkpoint at which at least {gate} nats per pair were lost ({lost} nats per pair, gains not set against them).",
        "zh": "依据 {model}：第一个每对至少损失 {gate} nats 的检查点（每对 {lost} nats，不与增加相抵）。",
    },
    "diagnosis.used.last": {
        "en": "Read at {model}, the last checkpoint; {lost} nats per pair were lost.",
        "zh": "依据最后一个检查点 {model}；每对损失 {lost} nats。",
    },
    "diagnosis.not_established": {
        "en": "No decline is established: {lost} nats per pair were lost, {gate} nats per pair are needed before a cause is named.",
        "zh": "未确认下降：每对损失 {lost} nats；要指出原因，至少需要每对 {gate} nats。",
    },
    "diagnosis.shares.title": {"en": "Where the lost log-prob belongs", "zh": "损失的对数概率归于何处"},
    "diagnosis.share.pushed": {
        "en": "pushed: on tokens that other pairs reject behind the same token far more than they choose",
        "zh": "被推走：在其他样本对于相同前一词元之后远更多地拒绝的词元上",
    },
    "diagnosis.share.pulled": {
        "en": "pulled: went to tokens that other pairs choose behind the same token",
        "zh": "被拉走：流向其他样本对在相同前一词元之后选择的词元",
    },
    "diagnosis.share.no_data": {
        "en": "in no data: went to improbable tokens that no text of the run has behind the same token",
        "zh": "不在数据中：流向本运行任何文本在相同前一词元之后都没有的低概率词元",
    },
    "diagnosis.share.unexplained": {"en": "unexplained", "zh": "未解释"},
    "diagnosis.named": {"en": "Likely: {causes}.", "zh": "很可能：{causes}。"},
    "diagnosis.named.at": {
        "en": "Shares are means over fallen pairs, of what each had lost by {model}: {lost} nats per pair over all pairs, of {end} nats per pair that are lost at the last checkpoint.",
        "zh": "比例为下降样本对的均值，指各对到 {model} 为止的损失：全部样本对每对 {lost} nats，而最后一个检查点每对损失 {end} nats。",
    },
    "diagnosis.named.at.last": {
        "en": "Shares are means over fallen pairs, of what each had lost by {model}, the last checkpoint: {lost} nats per pair over all pairs.",
        "zh": "比例为下降样本对的均值，指各对到最后一个检查点 {model} 为止的损失：全部样本对每对 {lost} nats。",
    },
    "diagnosis.damage": {
        "en": "Damage: by the last checkpoint {end} of the lost log-prob went to improbable tokens that no text of the run has there ({first} at the checkpoint read); look at what the model says.",
        "zh": "损坏：到最后一个检查点，损失的对数概率中有 {end} 流向任何文本在该处都没有的低概率词元（所读检查点处为 {first}）；请查看模型的输出。",
    },
    "diagnosis.probe.kept": {
        "en": "Probe: {model} keeps {kept} of what the reference says (share, {low} to {high}; {n} samples of it): 1 is all, near 0 nothing.",
        "zh": "探测：{model} 保留了参考模型所言的 {kept}（比例，{low} 至 {high}；{n} 个样本）：1 为全部，接近 0 为全无。",
    },
    "diagnosis.probe.swap": {
        "en": "Probe: behind its own opening {model} changes the core of the chosen responses by {own} nats per pair ({low} to {high} nats), behind the chosen opening by {chosen} nats per pair ({n} pairs; in {same} of them the two openings are the same).",
        "zh": "探测：在自己的开头之后，{model} 使被选回答的主体变化每对 {own} nats（{low} 至 {high} nats），在被选回答的开头之后为每对 {chosen} nats（{n} 对；其中 {same} 两种开头相同）。",
    },
    "diagnosis.named.shares": {
        "en": "{name} ({parts} of the lost log-prob)",
        "zh": "{name}（{parts}，占损失的对数概率）",
    },
    "diagnosis.named.none": {
        "en": "Cannot tell: no cause that this tool knows is likely here.",
        "zh": "无法判断：在这里，本工具所知的原因没有一个是很可能的。",
    },
    "diagnosis.named.no_fall": {"en": "Nothing to explain.", "zh": "没有需要解释的。"},
    "diagnosis.measured": {"en": "Measured", "zh": "实测"},
    "diagnosis.counter": {"en": "Against it", "zh": "反面证据"},
    "diagnosis.advice": {"en": "What people change", "zh": "通常的做法"},
    "diagnosis.source": {"en": "Source", "zh": "来源"},
    "diagnosis.open": {"en": "Open", "zh": "未决"},
    "diagnosis.open.title": {"en": "What stays open", "zh": "尚未解决的问题"},
    "diagnosis.open.caption": {
        "en": "What this run cannot answer, and what would settle it.",
        "zh": "此运行无法回答的问题，以及如何弄清。",
    },
    "diagnosis.open_pair": {"en": "Open this pair at the token that shows it", "zh": "打开此样本对并定位到相应词元"},
    "diagnosis.others": {
        "en": "Causes that are unlikely here, or cannot be told",
        "zh": "在这里不太可能或无法判断的原因",
    },
    "diagnosis.mark.likely": {"en": "● likely:", "zh": "● 很可能："},
    "diagnosis.mark.possible": {"en": "◐ possible:", "zh": "◐ 有可能："},
    "diagnosis.mark.unlikely": {"en": "○ unlikely:", "zh": "○ 不太可能："},
    "diagnosis.mark.cannot tell": {"en": "? cannot tell:", "zh": "？ 无法判断："},
    "diagnosis.shares.caption": {
        "en": "Of the log-prob that fallen pairs lost, every pair counting the same; the four parts add up to 100 %. Here: behind the same token. Whiskers: 95 % intervals over prompts. They say what goes with the loss, not what caused it.",
        "zh": "下降样本对所失的对数概率，每对权重相同；四部分相加为 100 %。“此处”指相同的前一词元之后。须线：按提示重抽样的 95 % 区间。它们说明什么与损失相伴，而不是什么造成了损失。",
    },
    "diagnosis.shares.axis": {"en": "share of the lost log-prob", "zh": "占损失的对数概率的比例"},
    "diagnosis.share.pushed.short": {"en": "pushed: others reject it here", "zh": "被推走：他人在此拒绝"},
    "diagnosis.share.pulled.short": {"en": "pulled: others choose what gained", "zh": "被拉走：增加者为他人所选"},
    "diagnosis.share.no_data.short": {"en": "in no data: nobody says what gained", "zh": "不在数据中：无人说过增加者"},
    "diagnosis.share.unexplained.short": {"en": "unexplained", "zh": "未解释"},
    "diagnosis.patterns.title": {"en": "The word pairs that lost and gained most", "zh": "损失与增加最多的词对"},
    "diagnosis.patterns.caption": {
        "en": "A token behind another, in the fallen chosen responses. Lost: log-prob lost there, nats per fallen pair. Gained: those nats times the share of the moved probability that this token got. Other pairs: how many have it in one response only, in the rejected or in the chosen one (mean over the pairs it happened in).",
        "zh": "下降的被选回答中前后相邻的两个词元。损失：该处损失的对数概率，单位 nats/下降样本对。增加：这些 nats 乘以该词元所得的转移概率份额。其他样本对：仅在一个回答（被拒或被选）中含有该词对的数目（对发生的样本对取均值）。",
    },
    "diagnosis.patterns.lost": {"en": "lost", "zh": "损失"},
    "diagnosis.patterns.gained": {"en": "gained", "zh": "增加"},
    "diagnosis.patterns.column.way": {"en": "did", "zh": "变动"},
    "diagnosis.patterns.column.words": {"en": "previous ⟶ token", "zh": "前一词元 ⟶ 词元"},
    "diagnosis.patterns.column.place": {"en": "mostly at", "zh": "主要位置"},
    "diagnosis.patterns.column.n_pairs": {"en": "fallen pairs", "zh": "下降样本对"},
    "diagnosis.patterns.column.nats": {"en": "nats per pair", "zh": "nats/对"},
    "diagnosis.patterns.column.rejects": {"en": "others reject", "zh": "他对拒绝"},
    "diagnosis.patterns.column.chooses": {"en": "others choose", "zh": "他对选择"},
    "diagnosis.numbers.name": {"en": "signal", "zh": "信号"},
    "diagnosis.numbers.value": {"en": "value", "zh": "数值"},
    "diagnosis.numbers.meaning": {"en": "meaning and unit", "zh": "含义与单位"},
    "diagnosis.signal.lost": {"en": "nats lost per pair at the checkpoint used", "zh": "所用检查点处每对损失的 nats"},
    "diagnosis.signal.lost_at_end": {
        "en": "nats lost per pair at the last checkpoint",
        "zh": "最后检查点处每对损失的 nats",
    },
    "diagnosis.signal.pushed": {
        "en": "C: share of the lost log-prob that is pushed",
        "zh": "C：损失的对数概率中被推走的比例",
    },
    "diagnosis.signal.pulled": {
        "en": "P: share of the lost log-prob that is pulled",
        "zh": "P：损失的对数概率中被拉走的比例",
    },
    "diagnosis.signal.no_data": {
        "en": "share of the lost log-prob that went to what is in no data",
        "zh": "损失的对数概率中流向数据之外的比例",
    },
    "diagnosis.signal.no_data_at_end": {
        "en": "the same at the last checkpoint, share",
        "zh": "最后检查点处的同一比例",
    },
    "diagnosis.signal.x": {
        "en": "X: mean of (r − c) / (r + c + K) over the lost log-prob, −1 to 1",
        "zh": "X：(r − c) / (r + c + K) 按损失的对数概率加权的均值，−1 到 1",
    },
    "diagnosis.signal.weight": {
        "en": "share of the lost log-prob that lies there",
        "zh": "位于该处的损失的对数概率的比例",
    },
    "diagnosis.signal.others": {
        "en": "mean change there of the chosen responses that did not fall, nats per pair",
        "zh": "未下降的被选回答在该处的平均变化，nats/对",
    },
    "diagnosis.signal.concentration": {
        "en": "share of the lost nats on the five word pairs that lost most",
        "zh": "损失最多的五个词对占损失 nats 的比例",
    },
    "diagnosis.signal.edit": {
        "en": "edit distance of the two responses, share of the longer one's tokens",
        "zh": "两个回答的编辑距离，占较长者词元的比例",
    },
    "diagnosis.signal.gap": {
        "en": "how much less likely a rejected token is under the reference, nats per token",
        "zh": "在参考模型下被拒词元低了多少，nats/词元",
    },
    "diagnosis.signal.rise": {
        "en": "highest mean chosen change of the whole curve, nats",
        "zh": "整条曲线的最高平均被选变化，nats",
    },
    "diagnosis.signal.expected": {
        "en": "fall over what the policy's movement explains, ratio",
        "zh": "下降与策略移动所能解释之量的比值",
    },
    "diagnosis.signal.rejected_expected": {
        "en": "the same of the rejected responses, ratio",
        "zh": "被拒回答的同一比值",
    },
    "diagnosis.signal.credit_size": {
        "en": "mean size of credit_z, standard deviations",
        "zh": "credit_z 的平均大小，标准差",
    },
    "diagnosis.signal.end": {
        "en": "share of the lost log-prob on the end of text",
        "zh": "结束符上损失的对数概率的比例",
    },
    "diagnosis.signal.ended": {
        "en": "share of the lost log-prob that went to the end of text",
        "zh": "损失的对数概率中去了结束符的比例",
    },
    "diagnosis.signal.contradicted": {
        "en": "share of the lost log-prob in contradicted pairs",
        "zh": "矛盾样本对中损失的对数概率的比例",
    },
    "diagnosis.signal.contradicted_pairs": {
        "en": "share of all pairs that are contradicted",
        "zh": "全部样本对中矛盾者的比例",
    },
    "diagnosis.signal.turned": {
        "en": "share of the lost log-prob in pairs that others turn round",
        "zh": "被他人反转的样本对中损失的对数概率的比例",
    },
    "diagnosis.signal.turned_pairs": {
        "en": "share of all pairs that others turn round",
        "zh": "全部样本对中被他人反转者的比例",
    },
    "diagnosis.signal.both_expected": {
        "en": "change of both responses of all pairs over what the policy's movement explains, ratio",
        "zh": "全部样本对两侧变化与策略移动所能解释之量的比值",
    },
    "diagnosis.signal.longer": {
        "en": "share of the fallen pairs whose chosen response is longer",
        "zh": "下降样本对中被选回答较长的比例",
    },
    "diagnosis.signal.argmax_gain": {
        "en": "share of the moved probability that went to the reference's likeliest token (squeezing: shown, never named)",
        "zh": "转移的概率中流向参考模型最可能词元的比例（挤压：只展示，不作结论）",
    },
    "diagnosis.pairs": {"en": "Pairs that show it", "zh": "可见于这些样本对"},
    "diagnosis.numbers": {"en": "The numbers behind it", "zh": "所依据的数字"},
    "diagnosis.verdict.likely": {"en": "likely", "zh": "很可能"},
    "diagnosis.verdict.possible": {"en": "possible", "zh": "有可能"},
    "diagnosis.verdict.unlikely": {"en": "unlikely", "zh": "不太可能"},
    "diagnosis.verdict.cannot tell": {"en": "cannot tell", "zh": "无法判断"},
    "diagnosis.certainty.identity": {"en": "identity: its numbers are arithmetic", "zh": "恒等：其数字为算术事实"},
    "diagnosis.certainty.decomposition": {
        "en": "decomposition: a part of parts that add up",
        "zh": "分解：各部分相加等于整体中的一部分",
    },
    "diagnosis.certainty.association": {"en": "association: goes with it", "zh": "关联：与之相伴"},
    "diagnosis.certainty.intervention": {
        "en": "intervention: something was changed and scored again",
        "zh": "干预：改动后重新打分",
    },
    "diagnosis.cause.artefact": {"en": "artefact of the setup", "zh": "设置造成的假象"},
    "diagnosis.cause.contradiction": {"en": "contradicting pairs", "zh": "相互矛盾的样本对"},
    "diagnosis.cause.near_identical": {"en": "near-identical rejecteds", "zh": "被拒回答几乎相同"},
    "diagnosis.cause.collision": {"en": "collision with other pairs' rejecteds", "zh": "与其他样本对的被拒回答相撞"},
    "diagnosis.cause.competing_answer": {"en": "competing answer", "zh": "竞争答案"},
    "diagnosis.cause.style_drift": {"en": "style drift", "zh": "文风漂移"},
    "diagnosis.cause.off_policy_rejected": {"en": "off-policy rejecteds", "zh": "离策略的被拒回答"},
    "diagnosis.cause.generic_drift": {"en": "generic drift", "zh": "普遍漂移"},
    "diagnosis.cause.length_or_eos": {"en": "length or end of text", "zh": "长度或结束符"},
    "diagnosis.cause.reference_effect": {"en": "reference effect", "zh": "参考模型效应"},
    "diagnosis.cause.unexplained": {"en": "unexplained", "zh": "未解释"},
    "diagnosis.open.tokens": {
        "en": "Which tokens lost, and where did the probability go? This run was imported from sums and has no tokens: score the models themselves.",
        "zh": "哪些词元损失了概率，概率流向了哪里？此运行由对数概率之和导入，没有词元：请直接给模型打分。",
    },
    "diagnosis.open.evidence": {
        "en": "Where did the probability go? Collect evidence of the fallen pairs.",
        "zh": "概率流向了哪里？请收集下降样本对的证据。",
    },
    "diagnosis.open.confirm": {
        "en": "Does some group of training pairs push the fallen tokens down, or does it only go along with the fall? Move the weights along its gradient and score again.",
        "zh": "是某组训练样本对把下降的词元压低，还是只与下降相伴？沿其梯度移动权重后重新打分即可知道。",
    },
    "diagnosis.open.beginning": {
        "en": "Did the chosen responses fall from the very beginning? The first quarter of the training was not seen: save earlier checkpoints, or give the trainer's log.",
        "zh": "被选回答是否一开始就下降？训练的前四分之一没有数据：请保存更早的检查点，或提供训练日志。",
    },
    "diagnosis.open.too_late": {
        "en": "Is this still the first cause? {lost} nats per pair were lost at the first checkpoint; beyond {most} nats per pair where it came from blurs: save earlier checkpoints.",
        "zh": "这仍是最初的原因吗？第一个检查点处每对已损失 {lost} nats；超过每对 {most} nats 后来源就模糊了：请保存更早的检查点。",
    },
    "diagnosis.open.train": {
        "en": "What did the training pairs say? Only pairs of “{split}” are in this run; the pairs that were trained on tell more.",
        "zh": "训练样本对说了什么？此运行只有“{split}”的样本对；训练所用的样本对能说明更多。",
    },
}
