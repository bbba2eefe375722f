"""What each cause says: its sentence by verdict, what speaks against it, and what people change."""

WORDS: dict[str, dict[str, str]] = {
    "diagnosis.artefact.likely": {
        "en": "The setup is off: {n} of its checks failed ({checks}). Mend it first; what else is said here may be an effect of it.",
        "zh": "设置有误：{n} 项检查未通过（{checks}）。请先修正；此处其他结论可能由它引起。",
    },
    "diagnosis.artefact.possible": {
        "en": "The setup may be off; in doubt, {n} of its checks: {checks}",
        "zh": "设置可能有误；{n} 项检查存疑：{checks}",
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
        "en": "{share} of the nats that fallen pairs lost lies in pairs that another pair of the same prompt contradicts: a response is chosen in one and rejected in the other.",
        "zh": "下降样本对所失的 nats 中有 {share} 出自被同一提示的另一样本对反驳的样本对：同一回答在一处被选，在另一处被拒。",
    },
    "diagnosis.contradiction.possible": {
        "en": "{share} of the nats that fallen pairs lost lies in pairs that another pair of the same prompt contradicts.",
        "zh": "下降样本对所失的 nats 中有 {share} 出自被同一提示的另一样本对反驳的样本对。",
    },
    "diagnosis.contradiction.turned": {
        "en": "{turned} of the nats that fallen pairs lost lies in pairs that others turn round: what these choose, others reject, and what these reject, others choose. They look like flipped labels.",
        "zh": "下降样本对所失的 nats 中有 {turned} 出自被他人反转的样本对：其所选为他人所拒，其所拒为他人所选。它们看起来像是标签翻转。",
    },
    "diagnosis.contradiction.counter.turned": {
        "en": "Base rate: {turned_pairs} of all pairs are turned round so, whether they fell or not; the nearer that is to {turned}, the less it says.",
        "zh": "基准：全部样本对中有 {turned_pairs} 被这样反转，无论其是否下降；它越接近 {turned}，说明力越弱。",
    },
    "diagnosis.contradiction.unlikely": {
        "en": "No response of a fallen pair is judged the other way round in another pair of the same prompt.",
        "zh": "下降的样本对中，没有回答在同一提示的另一样本对里被反向评判。",
    },
    "diagnosis.contradiction.counter": {
        "en": "Base rate: {pairs} of all pairs are contradicted so, whether they fell or not; the nearer that is to {share}, the less it says.",
        "zh": "基准：全部样本对中有 {pairs} 存在这种矛盾，无论其是否下降；它越接近 {share}，说明力越弱。",
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
        "en": "Near copies fall, too, where everything does, and where others gain: the highest mean change of this curve is {rise} nats.",
        "zh": "在一切都下降或其他回答增加时，几乎相同的样本对也会下降：此曲线的最高平均变化为 {rise} nats。",
    },
    "diagnosis.near_identical.advice": {
        "en": "People add an SFT term on the chosen responses or a DPOP penalty, or take rejected responses that differ more.",
        "zh": "通常在被选回答上加 SFT 项或 DPOP 惩罚，或选用差异更大的被拒回答。",
    },
    "diagnosis.collision.likely": {
        "en": "{share} of the lost log-prob ({low} to {high}) lies at the {place}, on tokens that other pairs reject there more than they choose ({n} pairs counted); over the whole response {pushed}.",
        "zh": "损失的对数概率中有 {share}（{low} 至 {high}）位于{place}，在其他样本对于该处更多地拒绝的词元上（统计了 {n} 对）；整个回答为 {pushed}。",
    },
    "diagnosis.collision.unlikely": {
        "en": "{share} of the lost log-prob lies on tokens that other pairs reject in the same context more than they choose: too little at any one place, or no clear push.",
        "zh": "损失的对数概率中有 {share} 在其他样本对于相同上下文中更多地拒绝的词元上：在任何一处都太少，或推力不明显。",
    },
    "diagnosis.collision.advice": {
        "en": "People drop or reword the rejected responses that share these words, merge such pairs, or add an SFT term on the chosen responses.",
        "zh": "通常删除或改写含有这些词语的被拒回答、合并这类样本对，或在被选回答上加 SFT 项。",
    },
    "diagnosis.collision.counter.sooner": {
        "en": "What it lost went to the end of text in front of it: that other pairs reject it may be the same thing, responses that end earlier, seen from its other side.",
        "zh": "它失去的概率去了其前的结束符：其他样本对拒绝它，可能只是“回答更早结束”这件事的另一面。",
    },
    "diagnosis.nowhere": {
        "en": "{no_data} of the lost log-prob went to what no text of the run has there: where it went does not tell whether this drove the fall. An earlier checkpoint may tell.",
        "zh": "损失的对数概率中有 {no_data} 去了本次运行的任何文本在该处都没有的内容：从去向看不出下降是否由此造成。更早的检查点也许可以。",
    },
    "diagnosis.undecided": {
        "en": "At the {place} this wording is pushed and pulled, and the direction is undecided (X = {x}, from −1 to 1): {pushed} of the lost log-prob lies on tokens that others reject, {pulled} of it went to tokens that others choose.",
        "zh": "在{place}，这种表述既被推走也被拉走，方向未定（X = {x}，范围 −1 到 1）：损失的对数概率中有 {pushed} 在他人拒绝的词元上，有 {pulled} 流向他人选择的词元。",
    },
    "diagnosis.data_driven.counter": {
        "en": "What it leaves open: {unexplained} of the lost log-prob is unexplained, {no_data} went to what no text has (pushed: {pushed}, pulled: {pulled}).",
        "zh": "尚未说明的：损失的对数概率中有 {unexplained} 未解释，{no_data} 流向任何文本都没有的内容（被推走：{pushed}，被拉走：{pulled}）。",
    },
    "diagnosis.competing_answer.likely": {
        "en": "Another answer rises in the core: {share} of the lost log-prob ({low} to {high}) went there to tokens that other pairs choose in the same context ({n} pairs counted).",
        "zh": "主体中另一个答案在上升：损失的对数概率中有 {share}（{low} 至 {high}）在那里流向其他样本对在相同上下文中选择的词元（统计了 {n} 对）。",
    },
    "diagnosis.competing_answer.moved": {
        "en": "Another answer rises in the core: chosen responses that did not fall gained {gain} nats per pair there, and {share} of the lost log-prob of the fallen ones lies there.",
        "zh": "主体中另一个答案在上升：未下降的被选回答在那里每对增加 {gain} nats，而下降者损失的对数概率有 {share} 位于那里。",
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
        "en": "The wording of the {place} changes: {share} of the lost log-prob ({low} to {high}) went there to tokens that other pairs choose in the same context ({n} pairs counted).",
        "zh": "{place}的措辞在变化：损失的对数概率中有 {share}（{low} 至 {high}）在那里流向其他样本对在相同上下文中选择的词元（统计了 {n} 对）。",
    },
    "diagnosis.style_drift.moved": {
        "en": "The wording of the {place} changes: chosen responses that did not fall gained {gain} nats per pair there, and {share} of the lost log-prob of the fallen ones lies there.",
        "zh": "{place}的措辞在变化：未下降的被选回答在那里每对增加 {gain} nats，而下降者损失的对数概率有 {share} 位于那里。",
    },
    "diagnosis.moved.counter": {
        "en": "That others gained there does not say that they took it from the fallen ones: {pulled} of the lost log-prob went to tokens that other pairs choose in the same context (pulled).",
        "zh": "其他回答在那里增加，并不说明是从下降者那里夺走的：损失的对数概率中只有 {pulled} 流向其他样本对在相同上下文中选择的词元（被拉走）。",
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
    "diagnosis.generic_drift.beside": {
        "en": "The two responses of fallen pairs differ much (edit distance {edit} of the longer one's tokens, share), as in a fall of everything; but a simpler reading is likely here.",
        "zh": "下降样本对的两个回答差异较大（编辑距离 {edit}，占较长者词元的比例），与整体下降相符；但此处有更简单的解释。",
    },
    "diagnosis.generic_drift.cannot": {
        "en": "Neither the curve (highest mean change {rise} nats) nor the distance of the two responses ({edit} of the longer one's tokens, share) says whether the fall is a generic one.",
        "zh": "曲线（最高平均变化 {rise} nats）和两个回答的差异（占较长者词元的比例 {edit}）都不能说明下降是否为普遍漂移。",
    },
    "diagnosis.generic_drift.unlikely": {
        "en": "The curve did not fall from the beginning (highest mean change {rise} nats), and other pairs' texts account for {data} of the lost log-prob.",
        "zh": "曲线并非一开始就下降（最高平均变化 {rise} nats），且其他样本对的文本解释了损失的对数概率的 {data}。",
    },
    "diagnosis.generic_drift.near": {
        "en": "The curve did not fall from the beginning (highest mean change {rise} nats), and the two responses are near copies (they differ in {edit} of the longer one's tokens, share).",
        "zh": "曲线并非一开始就下降（最高平均变化 {rise} nats），且两个回答几乎相同（差异占较长者词元的比例为 {edit}）。",
    },
    "diagnosis.generic_drift.counter.left": {
        "en": "It is what is left where no other rule holds: nothing here shows it directly. Of the lost log-prob {no_data} went to what no text has ({lost} nats per pair were lost).",
        "zh": "它是其他规则都不成立时剩下的：这里没有直接证据。损失的对数概率中有 {no_data} 流向任何文本都没有的内容（每对损失 {lost} nats）。",
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
        "en": "{share} of the lost log-prob lies on the end of text itself: the responses end differently now.",
        "zh": "损失的对数概率中有 {share} 就在结束符上：回答的结束方式变了。",
    },
    "diagnosis.length_or_eos.sooner": {
        "en": "{share} of the lost log-prob went to the end of text, in front of closings that other pairs reject: the responses end earlier now.",
        "zh": "损失的对数概率中有 {share} 去了结束符，位于其他样本对所拒绝的结尾之前：回答现在更早结束。",
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
        "en": "It is a place and not yet a reason; the chosen response is the longer one in {longer} of the fallen pairs.",
        "zh": "这是位置，还不是原因；在 {longer} 的下降样本对中，被选回答较长。",
    },
    "diagnosis.length_or_eos.advice": {
        "en": "People check that both responses end with the end-of-text token, and balance or normalise lengths.",
        "zh": "通常检查两个回答是否都以结束符结尾，并平衡或归一化长度。",
    },
    "diagnosis.reference_effect.likely": {
        "en": "The fall is the expected one: over both responses of all pairs the change is {both} times what answers of the reference lose on average when the policy moves so far (ratio), and the responses look like its own (mean size of credit_z {z} standard deviations, {gap} nats per token between the sides).",
        "zh": "这是预期之内的下降：全部样本对两侧的变化为策略移动这么远时参考模型自己的回答平均损失的 {both} 倍（比值），且这些回答像它自己的（credit_z 平均大小 {z} 个标准差，两侧相差每词元 {gap} nats）。",
    },
    "diagnosis.reference_effect.possible": {
        "en": "Over both responses of all pairs the change is {both} times what answers of the reference lose on average when the policy moves so far (ratio; 1 is expected of them): about as large, but something else is likely, too.",
        "zh": "全部样本对两侧的变化为策略移动这么远时参考模型自己的回答平均损失的 {both} 倍（比值，预期为 1）：幅度相当，但也有别的可能。",
    },
    "diagnosis.reference_effect.unlikely": {
        "en": "The responses do not look like the reference's own answers, or did not move as those do: over both responses of all pairs the change is {both} times what those lose on average when the policy moves so far (ratio; 1 is expected of them), and the mean size of credit_z is {z} standard deviations, where theirs stays below {limit} standard deviations.",
        "zh": "这些回答不像参考模型自己的回答，或变化与之不同：全部样本对两侧的变化为策略移动这么远时后者平均损失的 {both} 倍（比值，预期为 1），credit_z 平均大小为 {z} 个标准差，而后者低于 {limit} 个标准差。",
    },
    "diagnosis.reference_effect.cannot_tell": {
        "en": "Whether the policy's movement alone explains the fall cannot be told: there is no evidence of KL in this run.",
        "zh": "无法判断仅凭策略的移动能否解释下降：此运行没有 KL 证据。",
    },
    "diagnosis.reference_effect.counter": {
        "en": "Responses of another origin may look so, too: where the line is drawn for credit_z is a judgement ({limit} standard deviations; {z} standard deviations here).",
        "zh": "其他来源的回答也可能如此：credit_z 的界线是一种判断（{limit} 个标准差；此处 {z} 个标准差）。",
    },
    "diagnosis.reference_effect.counter.possible": {
        "en": "What it would need besides: both sides within {near} nats per token of each other under the reference ({gap} nats per token here), two responses with little in common (edit distance {edit} of the longer one's tokens, share), and nothing else that accounts for the loss.",
        "zh": "它还需要：参考模型下两侧相差不超过每词元 {near} nats（此处每词元 {gap} nats），两个回答很少相同（编辑距离 {edit}，占较长者词元的比例），且没有别的因素能解释损失。",
    },
    "diagnosis.reference_effect.advice": {
        "en": "Nothing need be changed for its sake; an SFT term on the chosen responses keeps them up.",
        "zh": "无需为此改动；在被选回答上加 SFT 项可使其不下降。",
    },
    "diagnosis.unexplained.share": {
        "en": "{share} of the lost log-prob ({low} to {high}) is neither pushed nor pulled, nor did it go to improbable tokens that stand in no text here; those got another {no_data}.",
        "zh": "损失的对数概率中有 {share}（{low} 至 {high}）既非被推走、也非被拉走，也没有流向任何文本在此处都没有的低概率词元；后者另得 {no_data}。",
    },
    "diagnosis.unexplained.no_ledger": {
        "en": "Where the probability went is not known: this run holds no evidence of the fallen pairs.",
        "zh": "概率流向何处不得而知：此运行没有下降样本对的证据。",
    },
}
