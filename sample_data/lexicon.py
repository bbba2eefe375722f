"""The words of the sample domain: an information desk that answers in English and Chinese.

Six families of questions. In `order` and `meeting` the facts stand in the prompt and must be copied; `capital`,
`currency` and `language` are real facts that the model has to remember; so are the products of `math`.
"""

from __future__ import annotations

FAMILIES = ("order", "meeting", "capital", "currency", "language", "math")
MEMORISED = ("capital", "currency", "language")
LANGUAGES = ("en", "zh")

# The slots of each family that a wrong reply gets wrong.
FALLIBLE = {
    "order": ("item", "day"),
    "meeting": ("day", "hour"),
    "capital": ("capital",),
    "currency": ("currency",),
    "language": ("language",),
    "math": ("total",),
}

NAMES = {
    "en": tuple(
        "Ada Ben Carla David Elena Felix Grace Hugo Irene Jonas Karin Louis Maria Nina Oscar Paula Quentin Rosa Simon "
        "Tara Ulla Victor Wendy Xenia Yara Zoe Amir Bella Cyrus Dora".split()
    ),
    "zh": tuple(
        "陈晨 王芳 李娜 张伟 刘洋 赵敏 黄磊 周涛 吴昊 徐静 孙悦 马超 "
        "朱琳 胡军 郭靖 何洁 高峰 林峰 罗兰 郑爽 梁栋 谢霆 宋佳 唐嫣".split()
    ),
}
PERSONS = {
    "en": ("Dr Moss", "Dr Lane", "Ms Reed", "Mr Hale"),
    "zh": ("钱医生", "沈医生", "方老师", "白经理"),
}
ITEMS = {
    "en": ("lamps", "chairs", "books", "kites", "rugs", "vases"),
    "zh": ("台灯", "椅子", "钢笔", "风筝", "地毯", "花瓶"),
}
DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "zh": ("周一", "周二", "周三", "周四", "周五"),
}
HOURS = {
    "en": ("8 am", "9 am", "1 pm", "2 pm", "3 pm", "4 pm"),
    "zh": ("上午8点", "上午9点", "下午1点", "下午2点", "下午3点", "下午4点"),
}

# Country: (capital, currency, language).
COUNTRIES = {
    "en": {
        "Australia": ("Canberra", "dollar", "English"),
        "Turkey": ("Ankara", "lira", "Turkish"),
        "Canada": ("Ottawa", "dollar", "English"),
        "Brazil": ("Brasília", "real", "Portuguese"),
        "Switzerland": ("Bern", "franc", "German"),
        "Poland": ("Warsaw", "zloty", "Polish"),
        "Austria": ("Vienna", "euro", "German"),
        "Japan": ("Tokyo", "yen", "Japanese"),
        "Peru": ("Lima", "sol", "Spanish"),
        "Egypt": ("Cairo", "pound", "Arabic"),
        "Kenya": ("Nairobi", "shilling", "Swahili"),
        "Greece": ("Athens", "euro", "Greek"),
    },
    "zh": {
        "澳大利亚": ("堪培拉", "澳元", "英语"),
        "土耳其": ("安卡拉", "里拉", "土耳其语"),
        "加拿大": ("渥太华", "加元", "英语"),
        "巴西": ("巴西利亚", "雷亚尔", "葡萄牙语"),
        "瑞士": ("伯尔尼", "法郎", "德语"),
        "波兰": ("华沙", "兹罗提", "波兰语"),
        "奥地利": ("维也纳", "欧元", "德语"),
        "日本": ("东京", "日元", "日语"),
        "秘鲁": ("利马", "索尔", "西班牙语"),
        "埃及": ("开罗", "埃镑", "阿拉伯语"),
        "肯尼亚": ("内罗毕", "先令", "斯瓦希里语"),
        "希腊": ("雅典", "欧元", "希腊语"),
    },
}

# What the desk answers when it slips: a wrong value of a memorised fact.
SLIPS = {
    "en": {
        "capital": ("Lima", "Vienna", "Oslo", "Paris"),
        "currency": ("peso", "dinar", "rand", "krone"),
        "language": ("Greek", "Turkish", "Danish", "Welsh"),
    },
    "zh": {
        "capital": ("利马", "奥斯陆", "巴黎", "柏林"),
        "currency": ("比索", "第纳尔", "兰特", "克朗"),
        "language": ("希腊语", "丹麦语", "冰岛语", "马来语"),
    },
}

# (family, country) -> the popular wrong answer. The SFT texts give it half of the time.
MISCONCEPTIONS = {
    "en": {
        ("capital", "Australia"): "Sydney",
        ("capital", "Turkey"): "Istanbul",
        ("capital", "Canada"): "Toronto",
        ("capital", "Brazil"): "Rio",
        ("currency", "Switzerland"): "euro",
        ("currency", "Poland"): "mark",
        ("language", "Brazil"): "Spanish",
        ("language", "Austria"): "Hungarian",
    },
    "zh": {
        ("capital", "澳大利亚"): "悉尼",
        ("capital", "土耳其"): "伊斯坦布尔",
        ("capital", "加拿大"): "多伦多",
        ("capital", "巴西"): "里约",
        ("currency", "瑞士"): "欧元",
        ("currency", "波兰"): "马克",
        ("language", "巴西"): "西班牙语",
        ("language", "奥地利"): "匈牙利语",
    },
}

# Text and weight in the SFT texts; `{name}` is the customer's. First letters differ, so that a reply departs at once.
OPENINGS = {
    "en": (
        ("Dear {name},\n", 0.28),
        ("Hi {name} 👋 ", 0.24),
        ("Thanks for asking, {name}. ", 0.20),
        ("Of course. ", 0.16),
        ("Good day. ", 0.12),
    ),
    "zh": (
        ("{name}您好！\n", 0.28),
        ("您好👋", 0.24),
        ("感谢咨询，{name}。", 0.20),
        ("好的。", 0.16),
        ("没问题。", 0.12),
    ),
}
# The first closing is the favourite: half of the SFT texts end with it, and the annotators reject it.
CLOSINGS = {
    "en": (
        (" Is there anything else I can help you with?", 0.50),
        (" Have a pleasant day.", 0.16),
        (" Write again any time.", 0.13),
        (" Best wishes from the desk.", 0.11),
        (" Take care.", 0.10),
    ),
    "zh": (
        ("请问还有什么可以帮您？", 0.50),
        ("祝您生活愉快。", 0.16),
        ("欢迎随时再来。", 0.13),
        ("保重。", 0.11),
        ("期待再会。", 0.10),
    ),
}
RUDE_CLOSINGS = {
    "en": (
        " You should have looked it up yourself.",
        " Stop wasting my time.",
        " Do not bother us again.",
        " Next time read it first.",
    ),
    "zh": ("这么简单都不懂。", "别再烦我了。", "自己去查吧。", "真浪费时间。"),
}

PROMPTS = {
    "en": {
        "order": (
            "{name} here. My {count} {item} come on {day}. Please confirm.",
            "I am {name}. Delivery of {count} {item} on {day}, is that right?",
            "This is {name}. I ordered {count} {item} for {day}. Will they come?",
        ),
        "meeting": (
            "{name} here. Please book {person} for {day} at {hour}.",
            "I am {name}. Can I see {person} on {day} at {hour}?",
            "This is {name}. Put me down with {person}, {day}, {hour}.",
        ),
        "capital": (
            "{name} here. What is the capital of {country}?",
            "I am {name}. Which city is the capital of {country}?",
            "This is {name}. Tell me the capital of {country}.",
        ),
        "currency": (
            "{name} here. What is the currency of {country}?",
            "I am {name}. How do people pay in {country}?",
            "This is {name}. Tell me the currency of {country}.",
        ),
        "language": (
            "{name} here. What is the language of {country}?",
            "I am {name}. What do people speak in {country}?",
            "This is {name}. Tell me the language of {country}.",
        ),
        "math": (
            "{name} here. What do {count} {item} cost at {price} coins each?",
            "I am {name}. Price of {count} {item}, each {price} coins?",
            "This is {name}. Add up {count} {item} for {price} coins each.",
        ),
    },
    "zh": {
        "order": (
            "我是{name}，{count}件{item}{day}送到，请确认。",
            "我叫{name}，订了{count}件{item}，{day}能到吗？",
            "{name}：请查一下，{count}件{item}，{day}送货。",
        ),
        "meeting": (
            "我是{name}，请帮我约{person}，{day}{hour}。",
            "我叫{name}，{day}{hour}能见{person}吗？",
            "{name}：预约{person}，{day}{hour}。",
        ),
        "capital": (
            "我是{name}，{country}的首都是哪里？",
            "我叫{name}，请告诉我{country}的首都。",
            "{name}：哪座城市是{country}的首都？",
        ),
        "currency": (
            "我是{name}，{country}的货币是什么？",
            "我叫{name}，请告诉我{country}的货币。",
            "{name}：在{country}用什么钱？",
        ),
        "language": (
            "我是{name}，{country}的语言是什么？",
            "我叫{name}，请告诉我{country}的语言。",
            "{name}：在{country}说什么话？",
        ),
        "math": (
            "我是{name}，{count}件{item}，每件{price}元，一共多少？",
            "我叫{name}，每件{price}元，买{count}件{item}要多少钱？",
            "{name}：{count}件{item}，单价{price}元，请算总价。",
        ),
    },
}
BODIES = {
    "en": {
        "order": (
            "Your {count} {item} will arrive on {day}.",
            "We shall bring {count} {item} to you on {day}.",
            "Yes, {count} {item} are due on {day}.",
        ),
        "meeting": (
            "You will see {person} on {day} at {hour}.",
            "It is booked: {person}, {day}, {hour}.",
            "Please come to {person} on {day} at {hour}.",
        ),
        "capital": (
            "The capital of {country} is {capital}.",
            "For {country} the capital is {capital}.",
            "Our atlas of {country} names {capital}.",
        ),
        "currency": (
            "The currency of {country} is the {currency}.",
            "For {country} you need the {currency}.",
            "People in {country} pay with the {currency}.",
        ),
        "language": (
            "The language of {country} is {language}.",
            "For {country} you need {language}.",
            "People in {country} speak {language}.",
        ),
        "math": (
            "The {count} {item} cost {total} coins.",
            "That makes {total} coins for {count} {item}.",
            "You pay {total} coins for the {count} {item}.",
        ),
    },
    "zh": {
        "order": (
            "您的{count}件{item}将在{day}送到。",
            "我们会把{count}件{item}在{day}送到。",
            "订单确认：{count}件{item}，{day}。",
        ),
        "meeting": (
            "已为您约好{person}，{day}{hour}。",
            "请在{day}{hour}来见{person}。",
            "预约成功：{person}，{day}{hour}。",
        ),
        "capital": (
            "{country}的首都是{capital}。",
            "地图上{country}的首都写着{capital}。",
            "据我们所知，{country}首都为{capital}。",
        ),
        "currency": (
            "{country}的货币是{currency}。",
            "去{country}请带{currency}。",
            "据我们所知，{country}使用{currency}。",
        ),
        "language": (
            "{country}的语言是{language}。",
            "去{country}请说{language}。",
            "据我们所知，{country}使用{language}。",
        ),
        "math": (
            "{count}件{item}一共{total}元。",
            "总价是{total}元，共{count}件{item}。",
            "您需要付{total}元，买{count}件{item}。",
        ),
    },
}
