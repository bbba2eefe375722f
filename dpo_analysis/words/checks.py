"""The Checks page."""

WORDS: dict[str, dict[str, str]] = {
    "checks.nav": {"en": "Checks", "zh": "检查"},
    "checks.title": {"en": "Can these numbers be trusted?", "zh": "这些数字可信吗？"},
    "checks.intro": {
        "en": "What is known about the setup, the log and the rows without asking any model.",
        "zh": "不运行任何模型就能知道的：设置、日志与数据。",
    },
    "checks.count": {
        "en": "{fail} failed, {warn} to look at, {note} to know, {unknown} not answerable here, {good} fine.",
        "zh": "{fail} 项不通过，{warn} 项需留意，{note} 项供了解，{unknown} 项此处无法回答，{good} 项正常。",
    },
    "checks.verdict.fail": {"en": "✕ failed", "zh": "✕ 不通过"},
    "checks.verdict.warn": {"en": "! look", "zh": "! 留意"},
    "checks.verdict.note": {"en": "· to know", "zh": "· 了解"},
    "checks.verdict.unknown": {"en": "? unknown", "zh": "? 未知"},
    "checks.column.prompt": {"en": "prompt", "zh": "提示"},
    "checks.column.status": {"en": "status", "zh": "状态"},
    "checks.column.split": {"en": "split", "zh": "数据划分"},
    "checks.show": {"en": "Show the pairs", "zh": "查看样本对"},
    "checks.examples.title": {"en": "Pairs of this check", "zh": "此项涉及的样本对"},
    "checks.examples": {
        "en": "“{question}”: the first {n}. Select one to see its tokens; those that are not scored have none.",
        "zh": "“{question}”：前 {n} 个。选中一个可查看其词元；未打分者没有词元。",
    },
    "checks.examples.none": {
        "en": "This pair is not scored, so it has no tokens to show: {status}.",
        "zh": "此样本对未打分，没有词元可显示：{status}。",
    },
    "checks.bad_text": {"en": "Is any text not valid Unicode?", "zh": "有文本不是有效的 Unicode 吗？"},
    "checks.template_error": {"en": "Does the chat template fail on any pair?", "zh": "对话模板在某些样本对上出错吗？"},
    "checks.empty": {"en": "Is any response empty?", "zh": "有空的回答吗？"},
    "checks.too_long": {"en": "Does any prompt fill max_length?", "zh": "有提示占满 max_length 吗？"},
    "checks.double_bos": {
        "en": "Does any text begin with two begin-of-text tokens?",
        "zh": "有文本以两个起始符开头吗？",
    },
    "checks.double_eos": {
        "en": "Does any response end with two end-of-text tokens?",
        "zh": "有回答以两个结束符结尾吗？",
    },
    "checks.no_eos": {"en": "Does any response lack its end-of-text token?", "zh": "有回答缺少结束符吗？"},
    "checks.truncated": {"en": "Is any pair cut at max_length?", "zh": "有样本对在 max_length 处被截断吗？"},
    "checks.border_shift": {"en": "Does any prompt merge with its response?", "zh": "有提示与回答的词元合并吗？"},
    "checks.identical": {
        "en": "Has any pair the same scored tokens on both sides?",
        "zh": "有样本对两边打分的词元相同吗？",
    },
    "checks.duplicate": {"en": "Does any row repeat an earlier one?", "zh": "有重复的行吗？"},
    "checks.near_duplicate": {
        "en": "Does any row repeat an earlier one but for case and spaces?",
        "zh": "有行除大小写与空格外与之前的行相同吗？",
    },
    "checks.contradicted": {
        "en": "Do two pairs of one prompt judge a response in opposite ways?",
        "zh": "同一提示的两对对某个回答判断相反吗？",
    },
    "checks.both_ways": {
        "en": "Is any text chosen under one prompt and rejected under another?",
        "zh": "有文本在一个提示下被选、在另一个提示下被拒吗？",
    },
    "checks.prompt_in_splits": {"en": "Is any prompt in two splits?", "zh": "有提示出现在两个数据划分中吗？"},
    "checks.data": {"en": "{n} pairs ({share}): {complaint}", "zh": "{n} 对（{share}）：{complaint}"},
    "checks.data.unknown": {
        "en": "no tokens are stored: this run was imported from sums",
        "zh": "没有存词元：此运行由对数概率之和导入",
    },
    "checks.data.none": {"en": "in no pair", "zh": "没有"},
    "checks.finished": {"en": "Is everything scored?", "zh": "都打完分了吗？"},
    "checks.finished.pass": {"en": "all {whole} parts are there", "zh": "全部 {whole} 个分块齐备"},
    "checks.finished.note": {
        "en": "{done} of {whole} parts are there; the numbers are of those",
        "zh": "已有 {done}/{whole} 个分块；数字只含这些",
    },
    "checks.scored": {"en": "Did a model fail on a pair?", "zh": "有模型在某些样本对上失败吗？"},
    "checks.scored.pass": {"en": "no value is infinite, and no memory ran out", "zh": "没有非有限数值，也没有内存不足"},
    "checks.scored.fail": {
        "en": "{n} pairs are not finite or ran out of memory, under {models}; they do not count there. A checkpoint with NaN weights looks like this",
        "zh": "{n} 对在 {models} 下数值非有限或内存不足，在那里不计入。权重含 NaN 的检查点就是这样",
    },
    "checks.weights": {"en": "Is a checkpoint the reference itself?", "zh": "有检查点就是参考模型本身吗？"},
    "checks.weights.pass": {"en": "no checkpoint has the reference's weights", "zh": "没有检查点与参考模型权重相同"},
    "checks.weights.fail": {
        "en": "{models}: the same weights as the reference, so every reward is 0. An adapter that was not applied looks like this",
        "zh": "{models}：与参考模型权重相同，奖励恒为 0。未生效的适配器就是这样",
    },
    "checks.twins": {"en": "Are two checkpoints the same?", "zh": "有两个检查点相同吗？"},
    "checks.twins.pass": {"en": "all weights differ", "zh": "权重各不相同"},
    "checks.twins.warn": {"en": "the same weights: {models}", "zh": "权重相同：{models}"},
    "checks.start": {"en": "Did training begin at this reference?", "zh": "训练是从这个参考模型开始的吗？"},
    "checks.start.pass": {
        "en": "recorded so for every series: rewards begin at 0",
        "zh": "各系列都如此记录：奖励从 0 开始",
    },
    "checks.start.note": {
        "en": "not known for {series}: rewards need not begin at 0, so a level below 0 need not be a fall",
        "zh": "{series} 未知：奖励不一定从 0 开始，低于 0 不一定是下降",
    },
    "checks.step0": {"en": "Is the reward 0 at step 0?", "zh": "第 0 步的奖励为 0 吗？"},
    "checks.step0.unknown": {
        "en": "no checkpoint of step 0 is in this run; score one to prove that reference, template and tokens are those of the training",
        "zh": "此运行没有第 0 步的检查点；给它打分可证明参考模型、模板与切分同训练时一致",
    },
    "checks.step0.pass": {
        "en": "the largest change is {largest} nats (allowed: {allowed})",
        "zh": "最大变化 {largest} nats（允许 {allowed}）",
    },
    "checks.step0.fail": {
        "en": "the largest change is {largest} nats (allowed: {allowed}): this reference is not where training began",
        "zh": "最大变化 {largest} nats（允许 {allowed}）：训练并非从此参考模型开始",
    },
    "checks.same_reference": {"en": "Is it the trainer's reference?", "zh": "是训练时的参考模型吗？"},
    "checks.same_reference.unknown": {
        "en": "no logged log-probs are those of these pairs, so the rewards cannot be compared exactly",
        "zh": "日志中没有这些样本对的对数概率，无法精确比较奖励",
    },
    "checks.same_reference.pass": {
        "en": "where the logged log-probs are the recomputed ones ({n} points), so are the rewards, to {off} β × nats (allowed: {allowed})",
        "zh": "在日志对数概率与重算一致之处（{n} 个点），奖励也一致，相差 {off} β × nats（允许 {allowed}）",
    },
    "checks.same_reference.fail": {
        "en": "the logged log-probs are the recomputed ones at {n} points, and the rewards are off by {off} β × nats (allowed: {allowed}): the trainer had another reference, or another β",
        "zh": "在 {n} 个点日志对数概率与重算一致，而奖励相差 {off} β × nats（允许 {allowed}）：训练时用的是另一参考模型或另一 β",
    },
    "checks.logged": {"en": "Do the trainer's curves agree?", "zh": "与训练器的曲线一致吗？"},
    "checks.logged.unknown": {"en": "no training log was imported", "zh": "未导入训练日志"},
    "checks.logged.pass": {
        "en": "all {n} logged values lie within three half-widths of the recomputed interval",
        "zh": "全部 {n} 个日志值都在重新计算区间半宽的三倍以内",
    },
    "checks.logged.warn": {
        "en": "{far} of {n} logged values lie farther than three half-widths from the recomputed ones; farthest: {metric} of {series}, {split}, step {step}, {difference}. See the reasons on the overview",
        "zh": "{n} 个日志值中有 {far} 个偏离超过区间半宽的三倍；最远：{series} 的 {metric}，{split}，第 {step} 步，{difference}。原因见概览页",
    },
    "checks.noise": {"en": "How exact are the scores?", "zh": "打分有多精确？"},
    "checks.noise.unknown": {"en": "no noise floor was measured", "zh": "没有测量噪声水平"},
    "checks.noise.pass": {
        "en": "two scorings of the reference differ by up to {token} nats per token and {response} per response; {share} of the pairs moved no more than that at the end",
        "zh": "参考模型两次打分每词元至多相差 {token} nats，每个回答 {response}；最后只有 {share} 的样本对变化不超过它",
    },
    "checks.noise.warn": {
        "en": "two scorings of the reference differ by up to {response} nats per response, and {share} of the pairs moved no more than that: too little happened for these numbers to tell",
        "zh": "参考模型两次打分每个回答至多相差 {response} nats，而 {share} 的样本对变化不超过它：变化太小，这些数字说明不了什么",
    },
    "checks.beginning": {
        "en": "Do both sides move alike while they are the same?",
        "zh": "在相同的开头上两边变化相同吗？",
    },
    "checks.beginning.unknown": {
        "en": "no pair begins with the same tokens on both sides, or no tokens are stored",
        "zh": "没有样本对两边开头词元相同，或没有存逐词元数值",
    },
    "checks.beginning.pass": {
        "en": "under {model} they differ by {apart} nats per token (allowed: {allowed})",
        "zh": "在 {model} 下每词元相差 {apart} nats（允许 {allowed}）",
    },
    "checks.beginning.fail": {
        "en": "under {model} they differ by {apart} nats per token (allowed: {allowed}): prompts or borders of the two sides are not the same",
        "zh": "在 {model} 下每词元相差 {apart} nats（允许 {allowed}）：两边的提示或边界不一致",
    },
    "checks.lengths": {"en": "Does length alone tell the sides apart?", "zh": "仅凭长度就能分辨两个回答吗？"},
    "checks.lengths.unknown": {"en": "an imported run has no lengths", "zh": "导入的运行没有长度"},
    "checks.lengths.pass": {
        "en": "chosen is the longer one in {longer} of {n} pairs, rejected in {shorter}; on average {chosen} and {rejected} tokens",
        "zh": "{n} 对中被选较长的占 {longer}，被拒较长的占 {shorter}；平均 {chosen} 与 {rejected} 个词元",
    },
    "checks.lengths.warn": {
        "en": "chosen is the longer one in {longer} of {n} pairs, rejected in {shorter}; on average {chosen} and {rejected} tokens: a policy can learn the length instead of what is meant",
        "zh": "{n} 对中被选较长的占 {longer}，被拒较长的占 {shorter}；平均 {chosen} 与 {rejected} 个词元：策略可能学到的是长度，而非本意",
    },
    "checks.labels": {"en": "Does the reference contradict the labels?", "zh": "参考模型与标注相反吗？"},
    "checks.labels.unknown": {"en": "nothing is scored yet", "zh": "尚未打分"},
    "checks.labels.pass": {
        "en": "it finds the rejected response likelier in {against} of {n} pairs, so strongly that DPO cannot turn it in {hard}",
        "zh": "{n} 对中有 {against} 认为被拒回答更可能，其中强到 DPO 翻不过来的有 {hard} 对",
    },
    "checks.labels.warn": {
        "en": "it finds the rejected response likelier in {against} of {n} pairs, so strongly that DPO cannot turn it in {hard}: flipped labels, or chosen responses much longer than rejected ones, look like this",
        "zh": "{n} 对中有 {against} 认为被拒回答更可能，其中强到 DPO 翻不过来的有 {hard} 对：标注颠倒，或被选回答比被拒长得多，就是这样",
    },
}
