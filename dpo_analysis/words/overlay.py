"""Why the trainer's log and the recomputed curves differ."""

WORDS: dict[str, dict[str, str]] = {
    "overlay.window": {
        "en": "A logged train value is the average over the logging window that ends at its step: other pairs, seen by earlier weights, so it lags behind and is noisier. With windows of some dozens of pairs expect it up to three half-widths of the interval away from the recomputed value.",
        "zh": "训练日志中的 train 值是到该步为止的一个记录窗口内的平均：样本对不同、权重更早，因此滞后且噪声更大。若窗口只有几十对样本，它与重新计算的值最多可相差区间半宽的三倍。",
    },
    "overlay.batches": {
        "en": "A logged eval value is the mean of batch means: a smaller last batch weighs as much as a full one, and several processes may count padding pairs twice. With equal batches it is the mean over pairs, as here.",
        "zh": "日志中的 eval 值是各批均值的均值：较小的最后一批与整批权重相同，多进程时补齐的样本对可能被重复计数。各批大小相等时，它就是样本对的均值，与此处一致。",
    },
    "overlay.subset": {
        "en": "The recomputed value is of the pairs scored here; where the trainer used others or more of them, the two differ by chance, as far as the interval reaches.",
        "zh": "重新计算的值只针对此处打分的样本对；若训练器用了其他或更多样本对，两者会随机相差，幅度约为区间宽度。",
    },
    "overlay.means": {
        "en": "This trainer logs log-probs per token; the recomputed ones beside them are per token, too.",
        "zh": "该训练器记录的是每词元对数概率；与之并列的重新计算值也按每词元计。",
    },
    "overlay.bf16": {
        "en": "Training ran under bf16 autocast, scoring does not: expect some hundredths of a nat per response.",
        "zh": "训练使用了 bf16 自动混合精度，打分没有：每条回答预计相差百分之几 nat。",
    },
    "overlay.bf16_unknown": {
        "en": "Whether training ran under bf16 autocast (TRL's default) is not known here; if it did, expect some hundredths of a nat per response.",
        "zh": "此处不知道训练是否使用了 bf16 自动混合精度（TRL 的默认值）；若使用，每条回答预计相差百分之几 nat。",
    },
    "overlay.saved_float16": {
        "en": "The checkpoints were saved as float16 and the logs were written before: each weight is rounded by up to 1 part in 2,000, so expect some thousandths of a nat per response.",
        "zh": "检查点以 float16 保存，而日志写于保存之前：每个权重最多有两千分之一的舍入误差，每条回答预计相差千分之几 nat。",
    },
    "overlay.saved_bfloat16": {
        "en": "The checkpoints were saved as bfloat16 and the logs were written before: each weight is rounded by up to 1 part in 250, so expect some hundredths of a nat per response, or more.",
        "zh": "检查点以 bfloat16 保存，而日志写于保存之前：每个权重最多有二百五十分之一的舍入误差，每条回答预计相差百分之几 nat 或更多。",
    },
    "overlay.scored_low": {
        "en": "The models were scored in 16-bit precision; the noise floor says how far that goes.",
        "zh": "模型以 16 位精度打分；噪声下限说明其影响程度。",
    },
    "overlay.ld_alpha": {
        "en": "The trainer weights the tokens behind the shorter response's length by ld_alpha, in its logged log-probs and rewards, too; the recomputed ones are plain sums.",
        "zh": "训练器用 ld_alpha 对超出较短回答长度的词元加权，日志中的对数概率和奖励也是如此；重新计算的值是普通求和。",
    },
    "overlay.sft": {
        "en": "In the sft loss the trainer averages over all tokens of a batch, here it is the mean over pairs.",
        "zh": "对于 sft 损失，训练器对一批中的所有词元取平均，此处则对样本对取平均。",
    },
    "overlay.no_loss": {
        "en": "The trainer's loss is no function of one pair, so only its other curves are recomputed.",
        "zh": "训练器的损失不是单个样本对的函数，因此只重新计算其他曲线。",
    },
    "overlay.largest": {
        "en": "Largest difference in {metric} ({split}): {difference} {unit}, at step {step}; points compared: {n}.",
        "zh": "{metric}（{split}）的最大差异：{difference} {unit}，在第 {step} 步；共比较 {n} 个点。",
    },
}
