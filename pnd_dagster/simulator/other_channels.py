"""Channels that do not pump: news, trading signals, an aggregator that forwards, and a group where members talk. All texts are invented."""

from __future__ import annotations

from pnd_dagster.simulator.voices import Voice

_NEWS = Voice(
    title="Block & Ledger Daily",
    username="blockledgerdaily",
    noise_per_day=7,
    topics={"news": 8, "market": 3, "advert": 1, "photo": 1, "education": 1},
    own_noise=("Good morning. The day's headlines follow at nine.", "That is all for today. Sources are linked in each post."),
    dress=(("", "\n\n@blockledgerdaily"), ("📰 ", "")),
)

_SIGNALS = Voice(
    title="Fib Lab Trading Signals",
    username="fiblab_signals",
    noise_per_day=7,
    topics={"signal": 6, "signal_hit": 4, "market": 2, "education": 2, "vip_offer": 1},
    own_noise=("No trade today is also a trade.", "Charts for the weekend follow in an hour", "Stop losses are not optional, not here."),
    dress=(("", ""), ("🧪 ", "")),
)

_AGGREGATOR = Voice(
    title="All Pumps In One Place",
    username="allpumps_oneplace",
    noise_per_day=2.5,
    topics={"advert": 4, "invitation": 3, "vip_offer": 2},
    own_noise=(
        "We repost the best pump groups so that you need only one channel.",
        "Want your group listed? {handle}",
        "Top group of the week: https://t.me/{other} 🔥 join for free",
        "New on our list: @{other}",
    ),
    dress=(("🔁 ", ""), ("", " 🔁")),
    forwards_share=0.55,
    is_raided=True,
)

_GROUP = Voice(
    title="Degens Kitchen (chat)",
    username="degens_kitchen",
    noise_per_day=0.8,
    topics={"greeting": 1, "poll": 1, "education": 1},
    own_noise=("House rules are pinned. No begging, no coin shilling.",),
    forwards_share=0.2,
    members_per_day=6,
    is_raided=True,
)

OTHER_CHANNELS = (_SIGNALS, _NEWS, _AGGREGATOR, _GROUP)
