"""What a confirmation says: the tokens owe their fall to one group of pairs, or no group could be told apart."""

WORDS: dict[str, dict[str, str]] = {
    "confirmation.confirmed": {
        "en": "Training on {group} pushes these tokens down: a unit step along their gradient changes the {n} worst fallen responses by {net} nats per unit step (95 % interval {low} to {high}, at {model}); of the other groups the lowest is {others} nats per unit step.",
        "zh": "对{group}的训练把这些词元压低：沿其梯度走一个单位步，{n} 个下降最多的回答变化 {net} nats/单位步（95 % 区间 {low} 至 {high}，{model}）；其余各组最低为 {others} nats/单位步。",
    },
    "confirmation.none": {
        "en": "No single group of training pairs could be shown to push these tokens down: the lowest effect at {model} is that of {group}, {net} nats per unit step (95 % interval {low} to {high}), the next {others} nats per unit step.",
        "zh": "无法证明是某一组训练样本对把这些词元压低：在 {model}，效应最低的是{group}，{net} nats/单位步（95 % 区间 {low} 至 {high}），其次为 {others} nats/单位步。",
    },
    "confirmation.one_checkpoint": {
        "en": "One checkpoint alone was asked, and two must agree: at {model} the lowest effect is that of {group}, {net} nats per unit step (95 % interval {low} to {high}), the next {others} nats per unit step.",
        "zh": "只问了一个检查点，而需要两个一致：在 {model}，效应最低的是{group}，{net} nats/单位步（95 % 区间 {low} 至 {high}），其次为 {others} nats/单位步。",
    },
    "confirmation.inexact": {
        "en": "The effects cannot be told exactly: at a longer step they differ too much. At {model} the lowest is that of {group}, {net} nats per unit step (95 % interval {low} to {high}), the next {others} nats per unit step.",
        "zh": "效应无法精确得出：步长更大时相差太多。在 {model}，最低的是{group}，{net} nats/单位步（95 % 区间 {low} 至 {high}），其次为 {others} nats/单位步。",
    },
    "confirmation.group.own": {"en": "the fallen pairs themselves", "zh": "下降的样本对本身"},
    "confirmation.group.rejected_has_lost": {
        "en": "pairs whose rejected response has the lost word pairs",
        "zh": "被拒回答含有丢失词对的样本对",
    },
    "confirmation.group.chosen_has_gained": {
        "en": "pairs whose chosen response has the word pairs that gained",
        "zh": "被选回答含有上升词对的样本对",
    },
    "confirmation.group.rest": {"en": "the other training pairs", "zh": "其余训练样本对"},
}
