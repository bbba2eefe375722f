"""What all pages share: sidebar, line of facts, states without data."""

WORDS: dict[str, dict[str, str]] = {
    "app.language": {"en": "Language", "zh": "语言"},
    "app.run": {"en": "Run", "zh": "运行"},
    "app.split": {"en": "Split", "zh": "数据划分"},
    "app.beta": {"en": "β for rewards", "zh": "奖励所用的 β"},
    "app.beta.own": {"en": "as stored in the run ({beta})", "zh": "运行中记录的值（{beta}）"},
    "app.beta.help": {
        "en": "Rewards, margins and losses are computed again from the stored log-probs. No model runs.",
        "zh": "由已存的对数概率重新计算奖励、差值和损失，不运行任何模型。",
    },
    "app.facts": {
        "en": "Run {run} · β {beta} · pairs: {pairs} · checkpoints: {models} · reference: {reference}",
        "zh": "运行 {run} · β {beta} · 样本对：{pairs} · 检查点：{models} · 参考模型：{reference}",
    },
    "app.precision": {
        "en": " · scored in {how}: up to {response} nats of a response or {token} nats of a token is rounding (a tie, or grey)",
        "zh": " · 以 {how} 打分：每条回答 {response} nat、每个词元 {token} nat 以内是舍入误差（记为平局或显示为灰色）",
    },
    "app.autocast": {"en": "bfloat16 autocast, as in training", "zh": "与训练相同的 bfloat16 自动混合精度"},
    "app.unknown": {
        "en": "The link asks for the {name} “{value}”, which is not in this run or split. The default is shown instead; choose another above or in the sidebar.",
        "zh": "链接中的{name}“{value}”不在此运行或划分中，现显示默认项；可在上方或侧栏另选。",
    },
    "app.unknown.run": {
        "en": "The link asks for the {name} “{value}”: there is no such folder here, or it has no manifest.json. Another is shown instead; choose one in the sidebar.",
        "zh": "链接中的{name}“{value}”在此处没有对应的文件夹，或其中没有 manifest.json。现显示另一个；可在侧栏选择。",
    },
    "app.unknown.option": {
        "en": "The link asks for the {name} “{value}”, which is not on offer. The default is shown instead.",
        "zh": "链接中的{name}“{value}”不是可选项，现显示默认项。",
    },
    "app.name.run": {"en": "run", "zh": "运行"},
    "app.name.pair": {"en": "pair", "zh": "样本对"},
    "app.name.split": {"en": "split", "zh": "数据划分"},
    "app.name.beta": {"en": "β", "zh": "β"},
    "app.name.color": {"en": "colour", "zh": "着色方式"},
    "app.name.at": {"en": "checkpoint", "zh": "检查点"},
    "app.error.input": {"en": "This cannot be shown:", "zh": "无法显示："},
    "app.error.storage": {"en": "The run folder cannot be read whole:", "zh": "运行文件夹无法完整读取："},
    "app.none.title": {"en": "No run was given", "zh": "尚未指定运行"},
    "app.none.body": {
        "en": "Score your pairs, then open what was written; or look at the example.",
        "zh": "先给你的样本对打分，再打开写出的文件夹；也可以先看示例。",
    },
    "app.none.sample": {"en": "Open the example run", "zh": "打开示例运行"},
    "app.partial": {
        "en": "Being scored now (workers: {workers}): {done} of {whole} parts are there. This page refreshes by itself.",
        "zh": "正在打分（进程数：{workers}）：已有 {done}/{whole} 个分块。此页会自动刷新。",
    },
    "app.partial.idle": {
        "en": "{done} of {whole} parts are there, and nobody is writing: no process on this machine holds this run, and the last part was written at {when}. Run the same score command again to go on; this page follows by itself.",
        "zh": "已有 {done}/{whole} 个分块，当前无人写入：本机没有进程占用此运行，最后一个分块写于 {when}。再次运行同一条 score 命令即可继续；此页会自动刷新。",
    },
    "app.partial.never": {
        "en": "{done} of {whole} parts are there, and nobody is writing: no process on this machine holds this run, and no part was written yet. Run the same score command again; this page follows by itself.",
        "zh": "已有 {done}/{whole} 个分块，当前无人写入：本机没有进程占用此运行，也尚未写出任何分块。请再次运行同一条 score 命令；此页会自动刷新。",
    },
    "app.no_tokens": {
        "en": "This run was imported as sums of log-probs over whole responses: it has no tokens, so nothing by token or place can be shown here. Score the models themselves (dpo-analysis score) to see it.",
        "zh": "此运行由整条回答的对数概率之和导入：没有词元，因此这里无法按词元或位置显示。请直接给模型打分（dpo-analysis score）。",
    },
    "app.sample": {"en": "(the shipped example)", "zh": "（随附示例）"},
    "app.name.layout": {"en": "panel layout", "zh": "排布方式"},
    "app.name.model": {"en": "checkpoint", "zh": "检查点"},
    "app.name.since": {"en": "checkpoint", "zh": "检查点"},
    "app.name.a": {"en": "checkpoint A", "zh": "检查点 A"},
    "app.name.b": {"en": "checkpoint B", "zh": "检查点 B"},
    "app.name.other": {"en": "run of B", "zh": "B 所在的运行"},
    "app.name.judge": {"en": "criterion", "zh": "标准"},
    "app.name.measure": {"en": "measure", "zh": "比较量"},
    "app.name.outcome": {"en": "outcome", "zh": "结果"},
    "app.name.check": {"en": "check", "zh": "检查"},
    "app.name.filter": {"en": "filter", "zh": "筛选"},
    "app.name.status": {"en": "status", "zh": "状态"},
    "app.name.sort": {"en": "order", "zh": "排序"},
    "app.name.group": {"en": "prompt", "zh": "提示"},
}
