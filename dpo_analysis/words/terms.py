"""The glossary's words of the diagnosis; those of rewards and log-probs stand with the Details page."""

WORDS: dict[str, dict[str, str]] = {
    "details.term.lost": {"en": "nats lost per pair, fallen pair", "zh": "每对损失的 nats、下降样本对"},
    "details.term.lost.formula": {
        "en": "mean over all pairs of max(0, −d), d = chosen log-ratio; fallen: d < −0.3 nats",
        "zh": "对全部样本对取 max(0, −d) 的均值，d = 被选对数比；下降：d < −0.3 nats",
    },
    "details.term.lost.meaning": {
        "en": "What was lost where it was lost, so that pairs that rose hide nothing. Below 0.2 nats per pair no decline is established and no cause is named.",
        "zh": "只计损失之处，上升的样本对不会掩盖什么。低于每对 0.2 nats 时，不认定下降，也不指出原因。",
    },
    "details.term.lost_share": {"en": "share of the lost log-prob", "zh": "占损失的对数概率的比例"},
    "details.term.lost_share.formula": {
        "en": "w_t = max(0, −d_t) / Σ max(0, −d_t) in each fallen pair; shares are means of w over pairs",
        "zh": "每个下降样本对内 w_t = max(0, −d_t) / Σ max(0, −d_t)；比例为 w 在样本对上的均值",
    },
    "details.term.lost_share.meaning": {
        "en": "Every fallen pair counts the same, however much it lost, and its tokens by what they lost.",
        "zh": "每个下降样本对权重相同，无论损失多少；其词元按各自损失计权。",
    },
    "details.term.ledger": {"en": "mass ledger", "zh": "概率账本"},
    "details.term.ledger.formula": {
        "en": "Δπ(label) + Σ Δπ(named tokens) + Δπ(tail) = 0 at every position",
        "zh": "每个位置 Δπ(标签) + Σ Δπ(列名词元) + Δπ(尾部) = 0",
    },
    "details.term.ledger.meaning": {
        "en": "Where the probability went that a token lost. The tail is what the full softmax moved outside the tokens kept by name.",
        "zh": "词元所失的概率去了哪里。尾部是完整 softmax 在列名词元之外转移的部分。",
    },
    "details.term.pushed": {"en": "pushed, C, x", "zh": "被推走、C、x"},
    "details.term.pushed.formula": {
        "en": "x = (r − c) / (r + c + K), K = 5 % of the pairs; C: share of the lost log-prob with x > 0.5",
        "zh": "x = (r − c) / (r + c + K)，K = 样本对数的 5 %；C：x > 0.5 的损失的对数概率的比例",
    },
    "details.term.pushed.meaning": {
        "en": "r pairs have the token behind this very token in their rejected response alone, c in their chosen one alone; a pair with it on both sides counts for neither, and the pair itself never counts. X is the mean of x over the lost log-prob.",
        "zh": "r 对仅在被拒回答中、c 对仅在被选回答中于同一前一词元之后含有该词元；两侧都有的不计，本对也不计。X 为 x 按损失的对数概率加权的均值。",
    },
    "details.term.pulled": {"en": "pulled, P", "zh": "被拉走、P"},
    "details.term.pulled.formula": {
        "en": "P = Σ w_t · Σ_v Δπ⁺(v) · max(0, c − r) / (c + r + K) / Σ_v Δπ⁺(v), over tokens with x ≤ 0.5",
        "zh": "P = Σ w_t · Σ_v Δπ⁺(v) · max(0, c − r) / (c + r + K) / Σ_v Δπ⁺(v)，对 x ≤ 0.5 的词元求和",
    },
    "details.term.pulled.meaning": {
        "en": "How much of the lost log-prob went to tokens v that other pairs choose in the same context.",
        "zh": "损失的对数概率中有多少流向其他样本对在相同上下文中选择的词元 v。",
    },
    "details.term.no_data": {"en": "in no data", "zh": "不在数据中"},
    "details.term.no_data.formula": {
        "en": "as P, for tokens with π_ref ≤ 0.005 that no text of the run has behind this token",
        "zh": "同 P，但针对 π_ref ≤ 0.005 且任何文本在该词元之后都没有的词元",
    },
    "details.term.no_data.meaning": {
        "en": "Probability that went where nothing in the data points: a sign of damage.",
        "zh": "流向数据中毫无依据之处的概率：损坏的迹象。",
    },
    "details.term.place": {"en": "opening, core, closing, end of text", "zh": "开头、主体、结尾、结束符"},
    "details.term.place.formula": {
        "en": "first sentence | what lies between | last sentence | last special tokens",
        "zh": "首句 | 中间部分 | 末句 | 末尾的特殊词元",
    },
    "details.term.place.meaning": {
        "en": "In a response of three sentences or more, of up to 16 tokens each; in any other the first and the last 8 tokens.",
        "zh": "三句或更多的回答，各至多 16 个词元；否则为前 8 个与后 8 个词元。",
    },
    "details.term.near": {"en": "near copies, edit distance", "zh": "几乎相同、编辑距离"},
    "details.term.near.formula": {
        "en": "Levenshtein(chosen, rejected) / tokens of the longer one",
        "zh": "Levenshtein(被选, 被拒) / 较长者的词元数",
    },
    "details.term.near.meaning": {
        "en": "0: the same text; 1: nothing in common. Near copies: below 0.22 on average over fallen pairs.",
        "zh": "0：完全相同；1：毫无共同之处。几乎相同：下降样本对的均值低于 0.22。",
    },
    "details.term.credit": {"en": "credit, credit_z", "zh": "credit、credit_z"},
    "details.term.credit.formula": {
        "en": "c_t = a_t + β · KL(π_ref ‖ π); credit_z = Σ c_t / √Σ v_t",
        "zh": "c_t = a_t + β · KL(π_ref ‖ π)；credit_z = Σ c_t / √Σ v_t",
    },
    "details.term.credit.meaning": {
        "en": "What of an implicit reward the policy's movement alone does not explain: 0 on average over answers of the reference, with variance v_t.",
        "zh": "隐式奖励中不能仅由策略移动解释的部分：对参考模型的回答平均为 0，方差为 v_t。",
    },
    "details.term.noise": {"en": "noise floor", "zh": "噪声"},
    "details.term.noise.formula": {
        "en": "largest difference of two scorings of the reference, of a token and of a response",
        "zh": "对参考模型两次打分的最大差异，分词元与回答",
    },
    "details.term.noise.meaning": {
        "en": "What lies below it is a tie and drawn grey; no fall is told from it.",
        "zh": "低于它的视为持平并画成灰色；不据此判断下降。",
    },
    "details.term.certainty": {
        "en": "identity, decomposition, association, intervention",
        "zh": "恒等、分解、关联、干预",
    },
    "details.term.certainty.formula": {
        "en": "arithmetic | parts that add up | goes with it | changed and scored again",
        "zh": "算术 | 可相加的部分 | 与之相伴 | 改动后重新打分",
    },
    "details.term.certainty.meaning": {
        "en": "How a finding is known. Only an intervention may say that something causes the fall.",
        "zh": "结论从何而知。只有干预才能说某事造成了下降。",
    },
    "details.term.accuracy": {"en": "accuracy, ranking accuracy", "zh": "准确率、排序准确率"},
    "details.term.accuracy.formula": {
        "en": "pairs with margin > 0 / pairs with margin ≠ 0; ranking: the same of log π(chosen) − log π(rejected)",
        "zh": "差值 > 0 的样本对 / 差值 ≠ 0 的样本对；排序：对 log π(被选) − log π(被拒) 同样计算",
    },
    "details.term.accuracy.meaning": {
        "en": "The first is what the loss trains, against the reference; the second is what the bare policy prefers, without it. Below the noise floor a pair counts for neither.",
        "zh": "前者是损失所训练的，相对参考模型；后者是策略本身的偏好，不用参考模型。低于噪声的样本对不计。",
    },
    "details.term.verdict": {"en": "likely, possible, unlikely, cannot tell", "zh": "很可能、可能、不太可能、无法判断"},
    "details.term.verdict.formula": {
        "en": "its rule holds | a part of it does, or a stronger reading stands beside it | it does not | this run cannot answer",
        "zh": "规则成立 | 部分成立，或另有更强的解释 | 不成立 | 此运行无法回答",
    },
    "details.term.verdict.meaning": {
        "en": "The rules are those of the causes below. Only what is likely is named; where nothing is, the answer is that it cannot be told.",
        "zh": "规则见下面各原因。只指出很可能的原因；若没有，则回答无法判断。",
    },
}
