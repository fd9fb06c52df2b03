"""The words of the built-in corpus: what can be asked for, and every way to say it.

Frozen together with ``cosent_lib.data.corpus``: a changed word changes the checksums there.
"""

from typing import NamedTuple


class Grammar(NamedTuple):
    """The words of one language.

    `actions` hold ``{o}`` where the object goes; `frames` hold ``{x}`` (action with object) and ``{c}`` (circumstance).
    Each slot is a tuple of values, each value a tuple of interchangeable wordings.
    """

    actions: tuple[tuple[str, ...], ...]
    objects: tuple[tuple[str, ...], ...]
    circumstances: tuple[tuple[str, ...], ...]
    frames: tuple[str, ...]

    @property
    def slots(self) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """The three slots in the order in which a `Meaning` indexes them."""
        return self.actions, self.objects, self.circumstances


ENGLISH = Grammar(
    actions=(
        ("cancel {o}", "terminate {o}", "give up {o}", "discontinue {o}"),
        ("renew {o}", "extend {o}", "prolong the term of {o}"),
        ("pause {o}", "suspend {o}", "put {o} on hold", "freeze {o}"),
        ("upgrade {o}", "switch {o} to a better tier", "raise {o} to the premium level"),
        ("downgrade {o}", "move {o} to a cheaper tier", "reduce {o} to the basic level"),
        ("pay for {o}", "settle the bill for {o}", "clear the balance on {o}"),
        ("transfer {o} to someone else", "sign {o} over to another person", "put {o} in somebody else's name"),
        ("get a refund for {o}", "claim reimbursement for {o}", "recover the money paid for {o}"),
        ("check the status of {o}", "see where things stand with {o}", "look up the current state of {o}"),
        ("report a problem with {o}", "complain about {o}", "express dissatisfaction with {o}"),
        ("get a receipt for {o}", "obtain proof of payment for {o}", "receive a payment confirmation for {o}"),
        ("update the address on {o}", "change the residence registered for {o}", "correct the mailing details of {o}"),
        ("check the price of {o}", "find out the cost of {o}", "see the rate for {o}"),
        ("use a discount code for {o}", "apply a voucher to {o}", "redeem a coupon on {o}"),
        ("read the terms of {o}", "review the conditions of {o}", "look at the fine print of {o}"),
    ),
    objects=(
        ("my phone plan", "my mobile contract", "my cellular service"),
        ("my gym membership", "my fitness club pass", "my health club contract"),
        ("my car insurance", "my auto policy", "my vehicle coverage"),
        ("my home internet service", "my broadband contract", "my wifi package"),
        ("my video subscription", "my movie streaming plan", "my film channel membership"),
        ("my newspaper subscription", "my daily paper delivery", "my morning press service"),
        ("my rail pass", "my train season ticket", "my railway travel card"),
        ("my electricity contract", "my power supply agreement", "my energy plan"),
        ("my meal kit subscription", "my recipe box plan", "my cooking box service"),
        ("my cloud storage plan", "my file hosting package", "my data storage service"),
        ("my language course", "my foreign language class", "my language training program"),
        ("my storage unit rental", "my self-storage agreement", "my storage room lease"),
        ("my health insurance", "my medical policy", "my healthcare coverage"),
        ("my parking space rental", "my garage agreement", "my car park permit"),
        ("my music subscription", "my song streaming service", "my audio streaming plan"),
        ("my bike rental", "my bicycle lease", "my cycle hire contract"),
    ),
    circumstances=(
        ("online", "on your website", "over the internet", "through the web portal"),
        ("by phone", "over the telephone", "by calling your hotline"),
        ("in the mobile app", "on my smartphone", "using your application"),
        ("in person", "at one of your branches", "face to face at your office"),
        ("without my password", "despite having forgotten my login", "even though I lost my access code"),
        ("while I am abroad", "from another country", "during a stay overseas"),
        ("before the end of the month", "by the last day of this month", "within this calendar month"),
        ("after the deadline", "although the due date has passed", "past the cutoff date"),
        ("at no extra cost", "without a surcharge", "free of additional fees"),
        ("as a student", "with a university ID", "while I attend college"),
        ("on a weekend", "on a Saturday or Sunday", "outside the working week"),
        ("after my move", "now that I have a new home", "following my relocation"),
        ("right away", "as soon as possible", "without delay"),
    ),
    frames=(
        "How do I {x} {c}?",
        "I would like to {x} {c}.",
        "Please help me {x} {c}.",
        "Is it possible to {x} {c}?",
        "What steps are needed to {x} {c}?",
        "Could you explain how to {x} {c}?",
        "Can someone show me how to {x} {c}?",
        "I need advice because I want to {x} {c}.",
        "Is there any way to {x} {c}?",
        "Tell me what must be done to {x} {c}.",
    ),
)

CHINESE = Grammar(
    actions=(
        ("取消{o}", "终止{o}", "把{o}退掉"),
        ("续订{o}", "把{o}续期", "延长{o}的有效期"),
        ("暂停{o}", "把{o}冻结一段时间", "临时停用{o}"),
        ("给{o}升级", "把{o}换成更高的档次", "提高{o}的等级"),
        ("给{o}降级", "把{o}换成更低的档次", "下调{o}的等级"),
        ("支付{o}的费用", "给{o}缴费", "付清{o}的账单"),
        ("把{o}转给别人", "将{o}过户给他人", "把{o}转让出去"),
        ("申请{o}的退款", "要回{o}的钱", "办理{o}的退费"),
        ("查询{o}的状态", "了解{o}目前的情况", "确认{o}的使用状况"),
        ("投诉{o}的问题", "反映{o}存在的毛病", "对{o}表达不满"),
        ("开具{o}的发票", "索取{o}的收据", "拿到{o}的付款凭证"),
        ("修改{o}的地址", "变更{o}登记的住址", "给{o}换个通讯地点"),
        ("查看{o}的价格", "打听{o}多少钱", "咨询{o}的收费标准"),
        ("把优惠券用在{o}上", "给{o}使用折扣码", "拿代金券抵扣{o}"),
        ("阅读{o}的条款", "浏览{o}的服务细则", "弄清{o}的具体规定"),
    ),
    objects=(
        ("手机套餐", "移动电话业务", "通话流量包"),
        ("健身卡", "健身房会员", "运动俱乐部会籍"),
        ("车险", "汽车保险", "机动车保单"),
        ("家庭宽带", "家用网络", "固定上网服务"),
        ("视频会员", "影视套餐", "电影频道包月"),
        ("报纸订阅", "日报投递服务", "每日报刊"),
        ("火车通票", "铁路通行证", "列车乘车卡"),
        ("用电合同", "电力套餐", "供电服务"),
        ("净菜配送服务", "食材包订购", "半成品菜套餐"),
        ("网盘会员", "云存储空间", "文件托管服务"),
        ("外语课程", "语言培训班", "外文学习班"),
        ("迷你仓租约", "自助仓储柜", "储物间租赁"),
        ("医疗保险", "健康险", "看病保障计划"),
        ("停车位租约", "车库租赁合同", "泊车许可证"),
        ("音乐会员", "听歌套餐", "歌曲点播服务"),
        ("自行车租赁", "单车月卡", "脚踏车租用服务"),
    ),
    circumstances=(
        ("在官网上", "通过网页", "在网站上"),
        ("打电话", "通过客服热线", "以致电的方式"),
        ("在手机应用里", "用客户端", "通过APP"),
        ("去营业厅", "到线下门店", "在柜台当面"),
        ("在忘记密码的情况下", "在没有登录密码时", "在丢失口令后"),
        ("在国外时", "在旅居海外期间", "从境外"),
        ("在月底之前", "赶在本月结束前", "在这个月内"),
        ("在截止日期过后", "在逾期之后", "在超过期限以后"),
        ("零附加费", "免手续费", "不花额外费用"),
        ("以学生身份", "凭学生证", "持在校证明"),
        ("在周末", "在星期六或星期天", "在双休日"),
        ("在搬家以后", "在换了住处之后", "在迁入新居后"),
        ("马上", "立刻", "尽快"),
    ),
    frames=(
        "怎么才能{c}{x}？",
        "我想{c}{x}。",
        "请问可以{c}{x}吗？",
        "请教一下如何{c}{x}。",
        "有没有办法{c}{x}？",
        "{c}{x}需要哪些步骤？",
        "麻烦说明一下{c}{x}的流程。",
        "我要{c}{x}，该做什么？",
        "能否{c}{x}？",
        "您好，我打算{c}{x}，求指导。",
    ),
)

GRAMMARS = {"en": ENGLISH, "zh": CHINESE}
