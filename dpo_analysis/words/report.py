"""The report: one page to send to somebody."""

WORDS: dict[str, dict[str, str]] = {
    "report.title": {"en": "What DPO did: {run}", "zh": "DPO 做了什么：{run}"},
    "report.split": {
        "en": "The numbers are of the split “{split}”; this run also has {others}.",
        "zh": "数值取自划分“{split}”；此运行还有 {others}。",
    },
    "report.series": {"en": "Only the series {series} is shown.", "zh": "只显示系列 {series}。"},
    "report.partial": {
        "en": "This run is not finished: {done} of {whole} parts are there. The report shows what is.",
        "zh": "此运行尚未完成：已有 {done}/{whole} 个分块。报告只显示现有部分。",
    },
    "report.causes.title": {
        "en": "Why did it change? {model}",
        "zh": "为什么变化？{model}",
    },
    "report.causes.caption": {
        "en": "The mean change since the reference, nats per response, as a sum over places. It says where the change lies, not why.",
        "zh": "相对参考模型的平均变化（nat/回答），按位置分解求和。它说明变化在哪里，不说明为什么。",
    },
    "report.pairs.title": {"en": "Pairs, token by token", "zh": "逐词元看样本对"},
    "report.pairs.caption": {
        "en": "Unless they were named, these are the pairs whose chosen response fell most at the last checkpoint. Lay the mouse on a token, or reach it with Tab and the arrow keys.",
        "zh": "若未指定，则为最后一个检查点上被选回答下降最多的样本对。将鼠标移到词元上，或用 Tab 与方向键选择。",
    },
    "report.pair": {"en": "{number}. {question}", "zh": "{number}. {question}"},
    "report.pair.facts": {
        "en": "pair {pair_id} · {series}, {model} · chosen reward {chosen}, rejected reward {rejected}, margin {margin} (β × nats)",
        "zh": "样本对 {pair_id} · {series}，{model} · 被选奖励 {chosen}，被拒奖励 {rejected}，间隔 {margin}（β × nat）",
    },
    "report.pair.uncounted": {
        "en": "pair {pair_id} · it does not count: {status}",
        "zh": "样本对 {pair_id} · 不计入：{status}",
    },
    "report.made": {
        "en": "Made by dpo-analysis {version} from the run folder alone; nothing on this page is loaded from elsewhere. Numbers are recomputed from stored log-probs; intervals are 95 % over prompts.",
        "zh": "由 dpo-analysis {version} 仅根据运行文件夹生成；本页不加载任何外部内容。数值由存储的对数概率重新计算；区间为按提示计的 95 %。",
    },
    "report.download": {"en": "Report as one HTML file", "zh": "报告（单个 HTML 文件）"},
    "report.download.help": {
        "en": "Verdict, curves, checks and the pairs that fell most, on one page that works offline and loads nothing.",
        "zh": "结论、曲线、检查与下降最多的样本对，一页即可离线查看，不加载任何外部内容。",
    },
}
