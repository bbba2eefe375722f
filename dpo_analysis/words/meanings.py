"""What every column and every metric means, in both languages; the English is that of ``schema`` and ``metrics``."""

WORDS: dict[str, dict[str, str]] = {
    "meaning.row": {
        "en": "place in the run: part number x part size + place in the part; gaps are normal",
        "zh": "在运行中的序号：分块号 × 分块大小 + 块内序号；有空缺属正常",
    },
    "meaning.pair_id": {
        "en": "first 16 hex digits of the sha256 of prompt, chosen and rejected; -2, -3 for equal rows",
        "zh": "prompt、chosen、rejected 的 sha256 前 16 位十六进制；相同的行加 -2、-3",
    },
    "meaning.group_id": {
        "en": "hash of the prompt's token ids; intervals resample groups",
        "zh": "提示词元 id 的哈希；区间按组重抽样",
    },
    "meaning.split": {
        "en": "which set of pairs the row came from: eval unless said otherwise",
        "zh": "该行来自哪一组样本对；未说明则为 eval",
    },
    "meaning.series": {"en": "one training run", "zh": "一次训练"},
    "meaning.model": {"en": "one checkpoint of a series", "zh": "一个系列中的一个检查点"},
    "meaning.step": {
        "en": "read from checkpoint-N or a numeric name; empty where unknown",
        "zh": "从 checkpoint-N 或数字名读出；未知则为空",
    },
    "meaning.side": {"en": "chosen or rejected", "zh": "被选或被拒"},
    "meaning.status": {
        "en": "ok, identical (same scored tokens on both sides) and truncated count; the others do not",
        "zh": "ok、identical（两边打分的词元相同）和 truncated 计入；其余不计入",
    },
    "meaning.prompt": {
        "en": "the rendered text that was tokenised in front of both responses",
        "zh": "两个回答之前、实际被切分的提示文本",
    },
    "meaning.chosen": {"en": "the rendered chosen response", "zh": "渲染后的被选回答"},
    "meaning.rejected": {"en": "the rendered rejected response", "zh": "渲染后的被拒回答"},
    "meaning.source": {"en": "the row as it was read", "zh": "读入的原始行"},
    "meaning.truncated": {
        "en": "prompt + response was longer than max_length and was cut",
        "zh": "提示加回答超过 max_length，被截断",
    },
    "meaning.entropy": {
        "en": "entropy of the next-token distribution at this position",
        "zh": "该位置下一词元分布的熵",
    },
    "meaning.rank": {
        "en": "1 + number of vocabulary entries with a higher log-prob than the token",
        "zh": "1 + 词表中对数概率高于该词元的条目数",
    },
    "meaning.argmax_id": {"en": "the most likely token at this position", "zh": "该位置最可能的词元"},
    "meaning.argmax_logp": {
        "en": "log-prob of the most likely token at this position",
        "zh": "该位置最可能词元的对数概率",
    },
    "meaning.gained": {
        "en": "probability that moved: sum over the vocabulary of max(0, pi - pi_ref)",
        "zh": "移动的概率：对词表求和 max(0, π − π_ref)",
    },
    "meaning.n_top": {
        "en": "ids kept at this position: the likeliest of policy and reference, and the token itself",
        "zh": "此位置保留的 id 数：策略与参考模型各自最可能的，以及该词元本身",
    },
    "meaning.top_id": {"en": "the ids kept, ascending within a position", "zh": "保留的 id，在每个位置内升序"},
    "meaning.top_logp": {"en": "log-prob of a kept id under the policy", "zh": "保留的 id 在策略下的对数概率"},
    "meaning.top_reference_logp": {
        "en": "log-prob of a kept id under the reference",
        "zh": "保留的 id 在参考模型下的对数概率",
    },
    "meaning.kl_reference_policy": {
        "en": "KL(pi_ref || pi) of the next-token distributions, exact",
        "zh": "下一词元分布的 KL(π_ref || π)，精确值",
    },
    "meaning.kl_policy_reference": {
        "en": "KL(pi || pi_ref) of the next-token distributions, exact",
        "zh": "下一词元分布的 KL(π || π_ref)，精确值",
    },
    "meaning.null_variance": {
        "en": "variance of log pi - log pi_ref under pi_ref at this position",
        "zh": "此位置 π_ref 下 log π − log π_ref 的方差",
    },
    "meaning.group": {
        "en": "a group of training pairs whose gradient was followed",
        "zh": "一组训练样本对，沿其梯度移动",
    },
    "meaning.n_target_tokens": {
        "en": "target tokens of this pair's chosen response, whose log-probs are summed",
        "zh": "此样本对被选回答中的目标词元数，其对数概率相加",
    },
    "meaning.effect": {
        "en": "change of that sum by a unit SGD step down one side's part of the group's mean DPO loss",
        "zh": "沿该组平均 DPO 损失中一边的部分走一个单位 SGD 步后，该和的变化",
    },
    "meaning.effect_error": {
        "en": "by how much the effect differs at a longer step length",
        "zh": "步长更大时该效应相差多少",
    },
    "meaning.n_group_pairs": {
        "en": "pairs of the group that the gradient is the mean of",
        "zh": "该组中取平均梯度的样本对数",
    },
    "meaning.step_length": {
        "en": "how far the parameters were moved to either side",
        "zh": "参数向两侧各移动多远",
    },
    "meaning.chosen_n_states": {
        "en": "states summed for the chosen response: those that predict its tokens",
        "zh": "被选回答求和的状态数：即预测其词元的那些",
    },
    "meaning.rejected_n_states": {"en": "states summed for the rejected response", "zh": "被拒回答求和的状态数"},
    "meaning.chosen_rejected": {
        "en": "of the two responses' sums of final hidden states",
        "zh": "两个回答末层状态之和的内积",
    },
    "meaning.chosen_chosen": {
        "en": "of the chosen response's sum of final hidden states with itself",
        "zh": "被选回答末层状态之和与自身的内积",
    },
    "meaning.rejected_rejected": {
        "en": "of the rejected response's sum of final hidden states with itself",
        "zh": "被拒回答末层状态之和与自身的内积",
    },
    "meaning.position": {"en": "place in the response, from 0", "zh": "在回答中的位置，从 0 起"},
    "meaning.token_id": {"en": "the response's token", "zh": "回答中的词元"},
    "meaning.token_bytes": {"en": "the token's bytes, exactly", "zh": "词元的确切字节"},
    "meaning.text": {
        "en": "the bytes decoded alone; parts of a split character show as \\xE4",
        "zh": "单独解码的字节；被拆开的字符显示为 \\xE4",
    },
    "meaning.logp": {"en": "log pi(y_t | x, y_<t) under the policy", "zh": "策略下的 log π(y_t | x, y_<t)"},
    "meaning.reference_logp": {"en": "log pi_ref(y_t | x, y_<t)", "zh": "参考模型下的 log π_ref(y_t | x, y_<t)"},
    "meaning.log_ratio": {
        "en": "logp - reference_logp; 0 means no drift",
        "zh": "logp − reference_logp；0 表示没有漂移",
    },
    "meaning.advantage": {
        "en": "beta * log_ratio of one token: its implicit reward",
        "zh": "单个词元的 β · log_ratio，即其隐式奖励",
    },
    "meaning.value": {
        "en": "running sum of advantage: Q of the token so far, V after it",
        "zh": "advantage 的累计和：到该词元为止的 Q，之后的 V",
    },
    "meaning.credit": {
        "en": "advantage + beta * KL(pi_ref || pi): 0 on average over what pi_ref would say",
        "zh": "advantage + β · KL(π_ref || π)：按 π_ref 所说平均为 0",
    },
    "meaning.credit_variance": {
        "en": "variance of credit over what pi_ref would say",
        "zh": "按 π_ref 所说，credit 的方差",
    },
    "meaning.credit_z": {
        "en": "credit / sqrt(credit_variance): below -2 it fell by more than pi moved",
        "zh": "credit / sqrt(credit_variance)：低于 −2 表示下降超过 π 的移动所能解释",
    },
    "meaning.n_tokens": {
        "en": "scored tokens of the response, with its end-of-text token where there is one",
        "zh": "回答中打分的词元数，含结束符（若有）",
    },
    "meaning.logps": {"en": "log pi(y | x): sum of logp over the response", "zh": "log π(y | x)：回答中 logp 之和"},
    "meaning.reference_logps": {"en": "log pi_ref(y | x)", "zh": "log π_ref(y | x)"},
    "meaning.log_ratio_per_token": {"en": "log_ratio / n_tokens", "zh": "log_ratio / n_tokens"},
    "meaning.reward": {
        "en": "implicit reward of the response: beta * log_ratio",
        "zh": "回答的隐式奖励：β · log_ratio",
    },
    "meaning.chosen_logps": {"en": "log pi(chosen | x)", "zh": "log π(chosen | x)"},
    "meaning.rejected_logps": {"en": "log pi(rejected | x)", "zh": "log π(rejected | x)"},
    "meaning.reference_chosen_logps": {"en": "log pi_ref(chosen | x)", "zh": "log π_ref(chosen | x)"},
    "meaning.reference_rejected_logps": {"en": "log pi_ref(rejected | x)", "zh": "log π_ref(rejected | x)"},
    "meaning.reference_margin": {
        "en": "reference_chosen_logps - reference_rejected_logps",
        "zh": "reference_chosen_logps − reference_rejected_logps",
    },
    "meaning.chosen_log_ratio": {
        "en": "chosen_logps - reference_chosen_logps",
        "zh": "chosen_logps − reference_chosen_logps",
    },
    "meaning.rejected_log_ratio": {
        "en": "rejected_logps - reference_rejected_logps",
        "zh": "rejected_logps − reference_rejected_logps",
    },
    "meaning.chosen_reward": {"en": "beta * chosen_log_ratio", "zh": "β · chosen_log_ratio"},
    "meaning.rejected_reward": {"en": "beta * rejected_log_ratio", "zh": "β · rejected_log_ratio"},
    "meaning.margin": {"en": "chosen_reward - rejected_reward", "zh": "chosen_reward − rejected_reward"},
    "meaning.loss": {"en": "the series' own loss of this pair", "zh": "该系列自己的损失在此样本对上的值"},
    "meaning.gradient_weight": {
        "en": "sigmoid(-margin): how much the pair still trains; 0.5 at the start",
        "zh": "sigmoid(−margin)：该样本对还有多少训练作用；开始时为 0.5",
    },
    "meaning.chosen_n_tokens": {"en": "scored tokens of the chosen response", "zh": "被选回答中打分的词元数"},
    "meaning.rejected_n_tokens": {"en": "scored tokens of the rejected response", "zh": "被拒回答中打分的词元数"},
    "meaning.n_pairs": {"en": "pairs of the split", "zh": "该划分的样本对数"},
    "meaning.n_used": {
        "en": "pairs that count: scored under policy and reference with finite values",
        "zh": "计入的样本对数：在策略和参考模型下都已打分且数值有限",
    },
    "meaning.metric.loss": {
        "en": "mean loss of a pair, as the trainer's formula gives it",
        "zh": "样本对损失的均值，按训练器的公式",
    },
    "meaning.metric.accuracy": {
        "en": "wins / (wins + losses) of the implicit reward; within the noise floor is a tie; undefined when all are ties",
        "zh": "隐式奖励的 胜 /（胜 + 负）；噪声水平以内为平局；全为平局时无定义",
    },
    "meaning.metric.accuracy_trl": {
        "en": "share of margins above 0, ties lost: as TRL logs it",
        "zh": "差值大于 0 的占比，平局算负：与 TRL 日志口径相同",
    },
    "meaning.metric.ranking_accuracy": {
        "en": "share of pairs, ties left out, whose chosen response the bare policy finds likelier than the rejected one",
        "zh": "除去平局，策略本身认为被选回答更可能的样本对占比",
    },
    "meaning.metric.reference_ranking_accuracy": {
        "en": "ranking accuracy of the reference on the same pairs",
        "zh": "参考模型在同样样本对上的排序准确率",
    },
    "meaning.metric.margin": {"en": "mean of chosen reward minus rejected reward", "zh": "被选奖励减被拒奖励的均值"},
    "meaning.metric.chosen_reward": {
        "en": "mean implicit reward of the chosen responses",
        "zh": "被选回答隐式奖励的均值",
    },
    "meaning.metric.rejected_reward": {
        "en": "mean implicit reward of the rejected responses",
        "zh": "被拒回答隐式奖励的均值",
    },
    "meaning.metric.chosen_logps": {"en": "mean log-prob of a chosen response", "zh": "被选回答对数概率的均值"},
    "meaning.metric.rejected_logps": {"en": "mean log-prob of a rejected response", "zh": "被拒回答对数概率的均值"},
    "meaning.metric.chosen_logps_per_token": {
        "en": "mean log-prob of a chosen token",
        "zh": "被选回答每词元对数概率的均值",
    },
    "meaning.metric.rejected_logps_per_token": {
        "en": "mean log-prob of a rejected token",
        "zh": "被拒回答每词元对数概率的均值",
    },
    "meaning.metric.reference_margin": {
        "en": "mean of chosen minus rejected log-prob under the reference",
        "zh": "参考模型下被选减被拒的对数概率均值",
    },
    "meaning.metric.chosen_drift": {
        "en": "mean change of a chosen response's log-prob",
        "zh": "被选回答对数概率变化的均值",
    },
    "meaning.metric.rejected_drift": {
        "en": "mean change of a rejected response's log-prob",
        "zh": "被拒回答对数概率变化的均值",
    },
    "meaning.metric.chosen_drift_per_token": {
        "en": "mean change of a chosen token's log-prob",
        "zh": "被选词元对数概率变化的均值",
    },
    "meaning.metric.rejected_drift_per_token": {
        "en": "mean change of a rejected token's log-prob",
        "zh": "被拒词元对数概率变化的均值",
    },
    "meaning.metric.share_chosen_fell": {
        "en": "share of pairs whose chosen response is less likely than under the reference",
        "zh": "被选回答比在参考模型下更不可能的样本对占比",
    },
    "meaning.metric.share_both_fell": {
        "en": "share of pairs with both responses less likely than under the reference",
        "zh": "两个回答都比在参考模型下更不可能的样本对占比",
    },
    "meaning.metric.share_displaced": {
        "en": "share of pairs whose chosen response fell while the margin grew",
        "zh": "差值变大而被选回答下降的样本对占比",
    },
    "meaning.metric.chosen_entropy": {
        "en": "mean entropy of the next token along chosen responses",
        "zh": "沿被选回答的下一词元熵的均值",
    },
    "meaning.metric.rejected_entropy": {
        "en": "mean entropy of the next token along rejected responses",
        "zh": "沿被拒回答的下一词元熵的均值",
    },
    "meaning.metric.entropy": {
        "en": "mean entropy of the next token along both responses",
        "zh": "沿两个回答的下一词元熵的均值",
    },
    "meaning.metric.dpop_penalty": {
        "en": "mean fall of a chosen response below the reference, rises counted as 0: what DPO-Positive penalises",
        "zh": "被选回答低于参考模型的平均幅度，上升计为 0：即 DPO-Positive 所惩罚的量",
    },
    "meaning.metric.gradient_weight": {
        "en": "mean of sigmoid(-margin): how much a pair still trains",
        "zh": "sigmoid(−margin) 的均值：样本对还有多少训练作用",
    },
    "meaning.metric.chosen_reward_p10": {
        "en": "10 % of the pairs lie at or below this chosen reward",
        "zh": "10 % 的样本对的被选奖励不高于此值",
    },
    "meaning.metric.chosen_reward_p50": {
        "en": "50 % of the pairs lie at or below this chosen reward",
        "zh": "50 % 的样本对的被选奖励不高于此值",
    },
    "meaning.metric.chosen_reward_p90": {
        "en": "90 % of the pairs lie at or below this chosen reward",
        "zh": "90 % 的样本对的被选奖励不高于此值",
    },
    "meaning.metric.rejected_reward_p10": {
        "en": "10 % of the pairs lie at or below this rejected reward",
        "zh": "10 % 的样本对的被拒奖励不高于此值",
    },
    "meaning.metric.rejected_reward_p50": {
        "en": "50 % of the pairs lie at or below this rejected reward",
        "zh": "50 % 的样本对的被拒奖励不高于此值",
    },
    "meaning.metric.rejected_reward_p90": {
        "en": "90 % of the pairs lie at or below this rejected reward",
        "zh": "90 % 的样本对的被拒奖励不高于此值",
    },
    "meaning.metric.margin_p10": {
        "en": "10 % of the pairs lie at or below this margin",
        "zh": "10 % 的样本对的差值不高于此值",
    },
    "meaning.metric.margin_p50": {
        "en": "50 % of the pairs lie at or below this margin",
        "zh": "50 % 的样本对的差值不高于此值",
    },
    "meaning.metric.margin_p90": {
        "en": "90 % of the pairs lie at or below this margin",
        "zh": "90 % 的样本对的差值不高于此值",
    },
}
