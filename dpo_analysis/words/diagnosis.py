"""The diagnosis: is there a fall, what goes with it, what speaks against it, what people change, what stays open."""

WORDS: dict[str, dict[str, str]] = {
    "diagnosis.fall.below_start": {
        "en": "The chosen responses fell: {drop} nats per pair against the reference ({low} to {high} nats), in {share} of {n} pairs, below it since {since}. {worst} of what was lost lies in the tenth of the pairs that lost most.",
        "zh": "被选回答下降了：相对参考模型每对 {drop} nats（{low} 至 {high} nats），占 {n} 对中的 {share}，自{since}起低于参考模型。所失中有 {worst} 出自损失最多的十分之一样本对。",
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
        "en": "Read at {model}: the first checkpoint at which at least {gate} nats per pair were lost ({lost} nats per pair).",
        "zh": "依据 {model}：第一个每对至少损失 {gate} nats 的检查点（每对 {lost} nats）。",
    },
    "diagnosis.not_established": {
        "en": "No decline is established: {lost} nats per pair were lost, {gate} nats per pair are needed before a cause is named.",
        "zh": "未确认下降：每对损失 {lost} nats；要指出原因，至少需要每对 {gate} nats。",
    },
    "diagnosis.shares.title": {"en": "Where the lost log-prob belongs", "zh": "损失的对数概率归于何处"},
    "diagnosis.share.pushed": {
        "en": "pushed: on tokens that other pairs reject here more than they choose",
        "zh": "被推走：在其他样本对于此处更多地拒绝的词元上",
    },
    "diagnosis.share.pulled": {
        "en": "pulled: went to tokens that other pairs choose here",
        "zh": "被拉走：流向其他样本对在此处选择的词元",
    },
    "diagnosis.share.no_data": {
        "en": "in no data: went to improbable tokens that no text of the run has here",
        "zh": "不在数据中：流向本运行任何文本在此处都没有的低概率词元",
    },
    "diagnosis.share.unexplained": {"en": "unexplained", "zh": "未解释"},
    "diagnosis.named": {"en": "Likely: {causes}.", "zh": "很可能：{causes}。"},
    "diagnosis.named.none": {
        "en": "Cannot tell: no cause that this tool knows is likely here.",
        "zh": "无法判断：在这里，本工具所知的原因没有一个是很可能的。",
    },
    "diagnosis.named.no_fall": {"en": "Nothing to explain.", "zh": "没有需要解释的。"},
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
        "en": "Of the log-prob that fallen pairs lost, every pair counting the same; the four parts add up to 100 %. Whiskers: 95 % intervals over prompts. They say what goes with the loss, not what caused it.",
        "zh": "下降样本对所失的对数概率，每对权重相同；四部分相加为 100 %。须线：按提示重抽样的 95 % 区间。它们说明什么与损失相伴，而不是什么造成了损失。",
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
    "diagnosis.patterns.column.way": {"en": "lost or gained", "zh": "损失或增加"},
    "diagnosis.patterns.column.words": {"en": "previous ⟶ token", "zh": "前一词元 ⟶ 词元"},
    "diagnosis.patterns.column.place": {"en": "mostly at", "zh": "主要位置"},
    "diagnosis.patterns.column.n_pairs": {"en": "fallen pairs", "zh": "下降样本对"},
    "diagnosis.patterns.column.nats": {"en": "nats per fallen pair", "zh": "nats/下降样本对"},
    "diagnosis.patterns.column.rejects": {"en": "others reject it", "zh": "他人拒绝"},
    "diagnosis.patterns.column.chooses": {"en": "others choose it", "zh": "他人选择"},
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
    "diagnosis.signal.x": {
        "en": "X: mean of (r − c) / (r + c + K) over the lost log-prob, −1 to 1",
        "zh": "X：(r − c) / (r + c + K) 按损失的对数概率加权的均值，−1 到 1",
    },
    "diagnosis.signal.weight": {
        "en": "share of the lost log-prob that lies there",
        "zh": "位于该处的损失的对数概率的比例",
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
    "diagnosis.signal.contradicted": {
        "en": "share of the lost log-prob in contradicted pairs",
        "zh": "矛盾样本对中损失的对数概率的比例",
    },
    "diagnosis.signal.contradicted_pairs": {
        "en": "share of all pairs that are contradicted",
        "zh": "全部样本对中矛盾者的比例",
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
    "diagnosis.certainty.identity": {"en": "identity: arithmetic, certain", "zh": "恒等：算术事实，确定"},
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
    "diagnosis.artefact.likely": {
        "en": "The setup is off: {n} of its checks failed ({checks}). Mend it first; what else is said here may be an effect of it.",
        "zh": "设置有误：{n} 项检查未通过（{checks}）。请先修正；此处其他结论可能由它引起。",
    },
    "diagnosis.artefact.possible": {
        "en": "The setup may be off: {n} of its checks are in doubt ({checks}).",
        "zh": "设置可能有误：{n} 项检查存疑（{checks}）。",
    },
    "diagnosis.artefact.offset": {
        "en": "The fall is there at the first checkpoint and does not grow: look whether the reference is the start of the training.",
        "zh": "下降在第一个检查点就已存在且不再加深：请检查参考模型是否就是训练的起点。",
    },
    "diagnosis.artefact.unlikely": {
        "en": "No check of the setup failed ({passed} passed).",
        "zh": "设置检查均未失败（{passed} 项通过）。",
    },
    "diagnosis.artefact.counter": {"en": "{passed} checks of the setup passed.", "zh": "{passed} 项设置检查通过。"},
    "diagnosis.artefact.advice": {
        "en": "Score again with the trainer's own template, tokenizer, lengths and reference; a run started at another model needs that model as its reference.",
        "zh": "请用训练时的模板、分词器、长度与参考模型重新打分；从其他模型开始的训练需以该模型为参考。",
    },
    "diagnosis.contradiction.likely": {
        "en": "{share} of the lost log-prob lies in pairs that another pair of the same prompt contradicts: a response is chosen in one and rejected in the other.",
        "zh": "损失的对数概率中有 {share} 出自被同一提示的另一样本对反驳的样本对：同一回答在一处被选，在另一处被拒。",
    },
    "diagnosis.contradiction.possible": {
        "en": "{share} of the lost log-prob lies in pairs that another pair of the same prompt contradicts.",
        "zh": "损失的对数概率中有 {share} 出自被同一提示的另一样本对反驳的样本对。",
    },
    "diagnosis.contradiction.unlikely": {
        "en": "No response of a fallen pair is judged the other way round in another pair of the same prompt.",
        "zh": "下降的样本对中，没有回答在同一提示的另一样本对里被反向评判。",
    },
    "diagnosis.contradiction.counter": {
        "en": "{pairs} of all pairs are contradicted so, whether they fell or not.",
        "zh": "全部样本对中有 {pairs} 存在这种矛盾，无论其是否下降。",
    },
    "diagnosis.contradiction.advice": {
        "en": "People drop or merge contradicting pairs, or train with a loss that allows for flipped labels (robust DPO, label smoothing).",
        "zh": "通常删除或合并矛盾的样本对，或使用容许标签翻转的损失（robust DPO、标签平滑）。",
    },
    "diagnosis.near_identical.likely": {
        "en": "The two responses of fallen pairs are near copies (they differ in {edit} of the longer one's tokens, share), and other pairs' texts account for {data} of the lost log-prob only.",
        "zh": "下降样本对的两个回答几乎相同（差异占较长者词元的比例为 {edit}），而其他样本对的文本只能解释损失的对数概率的 {data}。",
    },
    "diagnosis.near_identical.possible": {
        "en": "The two responses of fallen pairs are near copies (they differ in {edit} of the longer one's tokens, share): a fact. The fall has another pattern as well (highest mean change {rise} nats; other pairs' texts: {data} of the lost log-prob), so which of them it is cannot be told.",
        "zh": "下降样本对的两个回答几乎相同（差异占较长者词元的比例为 {edit}）：这是事实。下降还有别的特征（最高平均变化 {rise} nats；其他样本对的文本：损失的对数概率的 {data}），因此无法判断是哪一个。",
    },
    "diagnosis.near_identical.cannot_tell": {
        "en": "The two responses of fallen pairs are near copies (they differ in {edit} of the longer one's tokens, share); without evidence from the models it cannot be told whether other pairs explain the fall.",
        "zh": "下降样本对的两个回答几乎相同（差异占较长者词元的比例为 {edit}）；没有模型证据，无法判断其他样本对是否解释了下降。",
    },
    "diagnosis.near_identical.unlikely": {
        "en": "The two responses of fallen pairs are not near copies (they differ in {edit} of the longer one's tokens, share).",
        "zh": "下降样本对的两个回答并不相近（差异占较长者词元的比例为 {edit}）。",
    },
    "diagnosis.near_identical.counter": {
        "en": "Highest mean change of the curve: {rise} nats; a fall from the very beginning would speak for generic drift.",
        "zh": "曲线的最高平均变化：{rise} nats；若一开始就下降，则更像普遍漂移。",
    },
    "diagnosis.near_identical.advice": {
        "en": "People add an SFT term on the chosen responses or a DPOP penalty, or take rejected responses that differ more.",
        "zh": "通常在被选回答上加 SFT 项或 DPOP 惩罚，或选用差异更大的被拒回答。",
    },
    "diagnosis.collision.likely": {
        "en": "{share} of the lost log-prob lies at the {place}, on tokens that other pairs reject there more than they choose ({n} pairs counted; over the whole response {pushed}, {low} to {high} of the lost log-prob).",
        "zh": "损失的对数概率中有 {share} 位于{place}，在其他样本对于该处更多地拒绝的词元上（统计了 {n} 对；整个回答为损失的对数概率的 {pushed}，{low} 至 {high}）。",
    },
    "diagnosis.collision.unlikely": {
        "en": "{share} of the lost log-prob lies on tokens that other pairs reject in the same context more than they choose.",
        "zh": "损失的对数概率中有 {share} 在其他样本对于相同上下文中更多地拒绝的词元上。",
    },
    "diagnosis.collision.advice": {
        "en": "People drop or reword the rejected responses that share these words, merge such pairs, or add an SFT term on the chosen responses.",
        "zh": "通常删除或改写含有这些词语的被拒回答、合并这类样本对，或在被选回答上加 SFT 项。",
    },
    "diagnosis.undecided": {
        "en": "At the {place} this wording is pushed and pulled, and the direction is undecided (X = {x}, from −1 to 1): {pushed} of the lost log-prob lies on tokens that others reject, {pulled} of it went to tokens that others choose.",
        "zh": "在{place}，这种表述既被推走也被拉走，方向未定（X = {x}，范围 −1 到 1）：损失的对数概率中有 {pushed} 在他人拒绝的词元上，有 {pulled} 流向他人选择的词元。",
    },
    "diagnosis.data_driven.counter": {
        "en": "{unexplained} of the lost log-prob is explained by neither; pushed {pushed}, pulled {pulled} of it.",
        "zh": "损失的对数概率中有 {unexplained} 两者都不能解释；其中被推走 {pushed}、被拉走 {pulled}。",
    },
    "diagnosis.competing_answer.likely": {
        "en": "Another answer rises in the core: {share} of the lost log-prob went there to tokens that other pairs choose in the same context ({n} pairs counted).",
        "zh": "主体中另一个答案在上升：损失的对数概率中有 {share} 在那里流向其他样本对在相同上下文中选择的词元（统计了 {n} 对）。",
    },
    "diagnosis.competing_answer.unlikely": {
        "en": "{share} of the lost log-prob went, in the core, to tokens that other pairs choose in the same context.",
        "zh": "在主体中，损失的对数概率有 {share} 流向其他样本对在相同上下文中选择的词元。",
    },
    "diagnosis.competing_answer.advice": {
        "en": "Where the other answer is as good, nothing need be changed; where not, people drop or merge the pairs that choose it.",
        "zh": "若另一个答案同样好，则无需改动；否则通常删除或合并选择它的样本对。",
    },
    "diagnosis.style_drift.likely": {
        "en": "The wording of the {place} changes: {share} of the lost log-prob went there to tokens that other pairs choose in the same context ({n} pairs counted).",
        "zh": "{place}的措辞在变化：损失的对数概率中有 {share} 在那里流向其他样本对在相同上下文中选择的词元（统计了 {n} 对）。",
    },
    "diagnosis.style_drift.unlikely": {
        "en": "{share} of the lost log-prob went, at opening and closing, to tokens that other pairs choose in the same context.",
        "zh": "在开头与结尾，损失的对数概率有 {share} 流向其他样本对在相同上下文中选择的词元。",
    },
    "diagnosis.style_drift.advice": {
        "en": "People let it be when the content holds; else they balance openings and closings between chosen and rejected responses.",
        "zh": "若内容不受影响，通常任其自然；否则让被选与被拒回答的开头和结尾保持均衡。",
    },
    "diagnosis.off_policy_rejected.likely": {
        "en": "Under the reference the rejected responses of fallen pairs are {gap} nats per token less likely than the chosen ones: the model would never say them.",
        "zh": "在参考模型下，下降样本对的被拒回答比被选回答每词元低 {gap} nats：模型本不会说这些话。",
    },
    "diagnosis.off_policy_rejected.unlikely": {
        "en": "Under the reference the rejected responses of fallen pairs are {gap} nats per token less likely than the chosen ones: nothing far off.",
        "zh": "在参考模型下，下降样本对的被拒回答比被选回答每词元低 {gap} nats：相差不远。",
    },
    "diagnosis.off_policy_rejected.advice": {
        "en": "People sample the rejected responses from the model that is trained, or add an SFT term on the chosen ones.",
        "zh": "通常从被训练的模型中采样被拒回答，或在被选回答上加 SFT 项。",
    },
    "diagnosis.generic_drift.start": {
        "en": "Everything falls from the very beginning: the highest mean change of the whole curve is {rise} nats, and other pairs' texts account for {data} of the lost log-prob only.",
        "zh": "一开始就全面下降：整条曲线的最高平均变化为 {rise} nats，其他样本对的文本只能解释损失的对数概率的 {data}。",
    },
    "diagnosis.generic_drift.likely": {
        "en": "Other pairs' texts account for {data} of the lost log-prob only, and the two responses are no near copies (they differ in {edit} of the longer one's tokens, share): the fall follows no pattern in the data.",
        "zh": "其他样本对的文本只能解释损失的对数概率的 {data}，且两个回答并不相近（差异占较长者词元的比例为 {edit}）：下降不遵循数据中的模式。",
    },
    "diagnosis.generic_drift.possible": {
        "en": "The curve never rose (highest mean change {rise} nats), which speaks for too large or too many steps; other pairs' texts account for {data} of the lost log-prob.",
        "zh": "曲线从未上升（最高平均变化 {rise} nats），说明步长过大或步数过多；其他样本对的文本解释了损失的对数概率的 {data}。",
    },
    "diagnosis.generic_drift.cannot": {
        "en": "Neither the curve (highest mean change {rise} nats) nor the distance of the two responses ({edit} of the longer one's tokens, share) says whether the fall is a generic one.",
        "zh": "曲线（最高平均变化 {rise} nats）和两个回答的差异（占较长者词元的比例 {edit}）都不能说明下降是否为普遍漂移。",
    },
    "diagnosis.generic_drift.unlikely": {
        "en": "The curve rose at first (highest mean change {rise} nats), and other pairs' texts account for {data} of the lost log-prob.",
        "zh": "曲线起初上升（最高平均变化 {rise} nats），且其他样本对的文本解释了损失的对数概率的 {data}。",
    },
    "diagnosis.generic_drift.near": {
        "en": "The curve did not fall from the beginning (highest mean change {rise} nats), and the two responses are near copies (they differ in {edit} of the longer one's tokens, share).",
        "zh": "曲线并非一开始就下降（最高平均变化 {rise} nats），且两个回答几乎相同（差异占较长者词元的比例为 {edit}）。",
    },
    "diagnosis.generic_drift.counter": {
        "en": "Other pairs' texts account for {data} of the lost log-prob; {lost} nats per pair were lost.",
        "zh": "其他样本对的文本解释了损失的对数概率的 {data}；每对损失 {lost} nats。",
    },
    "diagnosis.generic_drift.advice": {
        "en": "People take a lower learning rate or fewer steps, a larger beta, or an SFT term on the chosen responses.",
        "zh": "通常降低学习率或减少步数、增大 beta，或在被选回答上加 SFT 项。",
    },
    "diagnosis.length_or_eos.likely": {
        "en": "{share} of the lost log-prob lies on the end of text itself: the responses end differently now, not their content.",
        "zh": "损失的对数概率中有 {share} 就在结束符上：变化的是回答的结束方式，而非内容。",
    },
    "diagnosis.length_or_eos.possible": {
        "en": "{share} of the lost log-prob lies on the end of text itself.",
        "zh": "损失的对数概率中有 {share} 就在结束符上。",
    },
    "diagnosis.length_or_eos.unlikely": {
        "en": "{share} of the lost log-prob lies on the end of text.",
        "zh": "损失的对数概率中有 {share} 在结束符上。",
    },
    "diagnosis.length_or_eos.counter": {
        "en": "The chosen response is the longer one in {longer} of the fallen pairs.",
        "zh": "在 {longer} 的下降样本对中，被选回答较长。",
    },
    "diagnosis.length_or_eos.advice": {
        "en": "People check that both responses end with the end-of-text token, and balance or normalise lengths.",
        "zh": "通常检查两个回答是否都以结束符结尾，并平衡或归一化长度。",
    },
    "diagnosis.reference_effect.likely": {
        "en": "The fall is the expected one: chosen responses fell by {chosen} and rejected ones by {rejected} times what answers of the reference lose on average when the policy moves so far (ratio).",
        "zh": "这是预期之内的下降：策略移动这么远时，参考模型自己的回答平均会损失的量，被选回答为其 {chosen} 倍，被拒回答为其 {rejected} 倍（比值）。",
    },
    "diagnosis.reference_effect.possible": {
        "en": "The fall is about as large as the policy's movement explains (ratio: chosen {chosen}, rejected {rejected}), but something else is likely, too.",
        "zh": "下降幅度与策略的移动所能解释的相当（比值：被选 {chosen}，被拒 {rejected}），但也有别的可能。",
    },
    "diagnosis.reference_effect.unlikely": {
        "en": "The fall is not what the policy's movement alone explains (ratio: chosen {chosen}, rejected {rejected}; 1 would be).",
        "zh": "下降并非仅由策略的移动所能解释（比值：被选 {chosen}，被拒 {rejected}；1 即为可解释）。",
    },
    "diagnosis.reference_effect.cannot_tell": {
        "en": "Whether the policy's movement alone explains the fall cannot be told: there is no evidence of KL in this run.",
        "zh": "无法判断仅凭策略的移动能否解释下降：此运行没有 KL 证据。",
    },
    "diagnosis.reference_effect.counter": {
        "en": "Mean size of credit_z: {z} standard deviations; above 1 the responses are not the reference's own.",
        "zh": "credit_z 的平均大小：{z} 个标准差；大于 1 表示这些回答不像参考模型自己的。",
    },
    "diagnosis.reference_effect.advice": {
        "en": "Nothing need be changed for its sake; an SFT term on the chosen responses keeps them up.",
        "zh": "无需为此改动；在被选回答上加 SFT 项可使其不下降。",
    },
    "diagnosis.unexplained.share": {
        "en": "{share} of the lost log-prob ({low} to {high}) is explained by no text of other pairs; {no_data} went to improbable tokens that stand in no text here.",
        "zh": "损失的对数概率中有 {share}（{low} 至 {high}）无法由其他样本对的文本解释；有 {no_data} 流向任何文本在此处都没有的低概率词元。",
    },
    "diagnosis.unexplained.no_ledger": {
        "en": "Where the probability went is not known: this run holds no evidence of the fallen pairs.",
        "zh": "概率流向何处不得而知：此运行没有下降样本对的证据。",
    },
    "diagnosis.open.tokens": {
        "en": "Which tokens lost, and where did the probability go? This run was imported from sums and has no tokens: score the models themselves.",
        "zh": "哪些词元损失了概率，概率流向了哪里？此运行由对数概率之和导入，没有词元：请直接给模型打分。",
    },
    "diagnosis.open.evidence": {
        "en": "Where did the probability go? Collect evidence of the fallen pairs.",
        "zh": "概率流向了哪里？请收集下降样本对的证据。",
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
