"""The channels that pump, each in its own voice. All texts are invented."""

from __future__ import annotations

from pnd_dagster.simulator.clocks import clock
from pnd_dagster.simulator.lettering import (
    bold_italic_sans,
    bold_sans,
    bracketed,
    cashtag,
    circled,
    full_width,
    hashtag,
    homoglyphs,
    plain,
    spaced,
    squared,
    stacked,
    underlined,
    underscored,
)
from pnd_dagster.simulator.voices import Voice

_BIG_PUMP = Voice(
    title="Northstar Big Pumps ⭐️",
    username="northstar_big_pumps",
    noise_per_day=2.2,
    topics={"greeting": 2, "invitation": 3, "vip_offer": 2, "market": 2, "photo": 1},
    own_noise=(
        "Northstar is growing fast ⭐️ welcome to all new members, please read the pinned message.",
        "Please do not message other admins, only {handle} is real. Everybody else is a scammer!",
        "Who made money with us last week? React with ⭐️",
    ),
    dress=(("⭐️ ", ""), ("", " ⭐️"), ("⭐️⭐️⭐️\n\n", "")),
    lead_weight=3,
    is_ally=True,
    exchanges=("kucoin", "mexc", "hotbit"),
    clock=clock("weekday day month", "24", "GMT"),
    countdown=(1440, 480, 180, 60, 30, 15, 5, 1),
    letters=(plain, cashtag),
    announcements=(
        "⭐️ OFFICIAL PUMP ANNOUNCEMENT ⭐️\n\nDear members, our next big pump is planned for:\n\n📅 Date: {day}\n⏰ Time: "
        "{hour}\n🏦 Exchange: {exchange}\n"
        "💱 Pair: {quote}\n🎯 Expected: {target}%+\n\nOver the last weeks our team prepared everything for a clean rise without "
        "any pre-pump. "
        "It is free for all, everybody gets the coin in the same second. Move your {quote} to {exchange} in time and invite your friends!",
        "⭐️ The next one is fixed ⭐️\n\nWhen: {day} at {hour}\nWhere: {exchange}\nAgainst: {quote}\n\nOur goal is {target}% "
        "and a long hold this time.",
    ),
    instructions=(
        "How it works:\n\n1. Open an account on {exchange} and deposit {quote}.\n2. Be online on {day}, {hour}.\n3. When we "
        "post the coin, buy at once and hold.\n"
        "4. Tell everyone on X and in the chat box that it is rising.\n5. Sell in parts, slowly.\n\nSee you there ⭐️",
    ),
    countdowns=(
        "⏳ {left} left until our pump on {exchange}!",
        "⭐️ {left} to go. Make sure that your {quote} is in your {exchange} wallet ⭐️",
        "{left} left. {day}, {hour}, {exchange}. Be ready!",
    ),
    last_calls=("⚠️ {left} left! The next message is the coin.", "⚠️ Only {left}! Open {exchange} now, next post = coin name"),
    releases=(
        "⭐️ The coin is: {symbol} ⭐️\n\nExchange: {exchange}\nPair: {ticker}/{quote}\n{url}\n\nBuy and hold!",
        "The coin to pump is {symbol}\n\n{url}",
    ),
    hype=(
        "{ticker} is already up, look at that volume! Buy and hold 🚀",
        "HOLD {ticker}!! Outsiders are coming in now",
        "Don't sell, this is only the beginning ⭐️",
    ),
    results=(
        "⭐️ Pump results: {ticker} reached +{gain}% with a volume of {volume} {quote}. Thank you all, the next one will be announced soon.",
        "Great job everybody! +{gain}% on {ticker} within minutes. Many members wrote to us that they sold near the peak.",
    ),
    delays_by=("Dear members, because of a heavy drop of Bitcoin we move today's pump by {delay}. Sorry and stay ready ⭐️",),
    delays_to=(
        "⚠️ The pump is postponed. New date: {day}, {hour}, still on {exchange}. The coin was bought by someone before, we "
        "choose another one.",
    ),
    cancellations=("⚠️ Dear members, we decided to cancel the pump on {exchange}. The market is too unstable. A new date follows.",),
)

_SIGNAL = Voice(
    title="𝐌𝐄𝐆𝐀 Signal Society",
    username="megasignalsociety",
    noise_per_day=2.5,
    topics={"vip_offer": 3, "signal": 1, "advert": 2, "greeting": 1, "poll": 1},
    own_noise=("Seats for the inner circle: 4 of 50 left. Write to {handle}", "Rule one of the society: patience. Rule two: patience."),
    dress=(("» ", " «"), ("", "\n\n— Signal Society")),
    lead_weight=2,
    is_ally=True,
    exchanges=("latoken", "xt", "mexc"),
    clock=clock("weekday", "12", "UTC", relative_words=("today", "tomorrow")),
    countdown=(720, 240, 120, 60, 45, 20, 10, 5, 2),
    letters=(hashtag, bold_sans),
    title_letters=bold_sans,
    announcements=(
        "» MEGA SIGNAL «\n\nThe society will release a mega signal {day} at {hour} on {exchange}. A low cap coin, {quote} "
        "pair. Projected: +{target}%.\n\n— Signal Society",
        "Mega signal #{volume}\n{day}, {hour}\n{exchange} ({quote})\n\nWe will hold it together. Short notice, great reward.",
    ),
    instructions=("» Fund your {exchange} account before {day} {hour}. Whoever comes late buys the top. «",),
    countdowns=(
        "» {left} until the mega signal «",
        "{left}. {exchange}. Be there.",
        "» The mega signal comes in {left}, have {quote} ready «",
    ),
    last_calls=("» {left} «\nNext message: the name.", "» {left} left, eyes on {exchange} «"),
    releases=("» {symbol} «", "Mega signal: {symbol}\nBuy on {exchange}, {quote} pair. Hold.", "{symbol}\n{url}"),
    hype=("» {ticker} moves. Nobody sells. «", "{ticker} +40% already, targets far above", "Whales have entered. Hold."),
    results=(
        "» {ticker}: +{gain}% «\nWell played, society.",
        "Result of the mega signal {ticker}: high +{gain}%, {volume} {quote} traded in the first minute.",
    ),
    delays_by=("» The mega signal is delayed by {delay}. Stay tuned. «",),
    delays_to=("» Mega signal moved to {day} {hour}. Exchange stays {exchange}. «",),
    cancellations=("» Tonight's mega signal is off. Coin was leaked. «",),
)

_TURKISH = Voice(
    title="Roket Pump Türkiye 🇹🇷",
    username="roketpump_tr",
    noise_per_day=2.4,
    topics={"market": 1, "photo": 1},
    own_noise=(
        "Günaydın arkadaşlar, bereketli bir gün olsun ☀️",
        "Kanala yeni katılanlar hoş geldiniz, sabit mesajı okuyun 🙏",
        "BTC biraz nefes alıyor, acele etmeyin.",
        "Destek olmak isteyen arkadaşlar kanalı paylaşsın 🇹🇷",
        "Vip grubumuz için {handle} ile iletişime geçin",
    ),
    lead_weight=2,
    exchanges=("mexc", "gate.io", "hotbit"),
    clock=clock("d.m.y", "24", "TSİ", offset_hours=3, relative_words=("BUGÜN", "YARIN")),
    units=("SAAT", "SAAT", "DAKİKA", "DAKİKA"),
    countdown=(360, 180, 60, 30, 10, 5, 1),
    letters=(plain, spaced),
    announcements=(
        "🚨 PUMP DUYURUSU 🚨\n\nTarih: {day}\nSaat: {hour}\nBorsa: {exchange}\nParite: {quote}\nHedef: %{target}\n\nPump "
        "announcement: exchange {exchange}, {hour}. Hazır olun!",
        "🇹🇷 Arkadaşlar {day} saat {hour} {exchange} borsasında pump yapacağız. {quote} bakiyenizi hazırlayın.",
    ),
    instructions=("Coin ismi gelince hemen alın, hedefe gelmeden satmayın. {exchange} hesabınız hazır olsun ✅",),
    countdowns=("⏰ PUMP'A SON {left} (exchange: {exchange})", "SON {left} 🚀 {left} left"),
    last_calls=("🔥 SON {left}!! Bir sonraki mesaj COİN İSMİ", "{left} kaldı, next message coin name 🔥"),
    releases=("🚀 COİN: {symbol}\n\n{url}", "COİN İSMİ 👉 {symbol} 👈 ALIN ALIN ALIN", "{symbol}"),
    hype=("{ticker} UÇUYOR 🚀🚀", "Satmayın, bekleyin 💪", "{ticker} hold hold hold 🇹🇷"),
    results=("Elinize sağlık arkadaşlar, {ticker} %{gain} yaptı 👏", "Pump sonucu: {ticker} +%{gain}, hacim {volume} {quote}. Teşekkürler"),
    delays_by=("⚠️ Pump {delay} ertelendi. Pump delayed {delay}. Anlayışınız için teşekkürler.",),
    delays_to=("⚠️ Pump ertelendi! Yeni tarih: {day} saat {hour} ({exchange}). Postponed.",),
    cancellations=("❌ Pump iptal edildi, borsada sorun var. Pump is cancelled, sorry.",),
)

_RUSSIAN = Voice(
    title="Памп Клуб | PUMP CLUB",
    username="pumpclub_ru_en",
    noise_per_day=2.6,
    topics={"news": 1, "signal": 1},
    own_noise=(
        "Доброе утро, клуб! Кофе и графики ☕️",
        "Рынок стоит, мы ждём. Терпение.",
        "Приглашайте друзей, чем нас больше, тем выше рост 📈",
        "По рекламе: {handle}",
        "Биток снова у уровня, сегодня без резких движений.",
    ),
    dress=(("📌 ", ""),),
    lead_weight=2,
    is_ally=True,
    exchanges=("yobit", "poloniex", "xt"),
    clock=clock("d-m-y", "24", "MSK", offset_hours=3, second_zone=("GMT", 0)),
    units=("час", "ч.", "минута", "мин."),
    countdown=(1440, 300, 60, 30, 15, 5, 3, 1),
    letters=(homoglyphs, plain, underscored),
    announcements=(
        "📌 ПАМП / PUMP\n\nБиржа (exchange): {exchange}\nДата: {day}\nВремя: {hour}\nПара: {quote}\nЦель: +{target}%\n\n"
        "Бесплатно для всех. Free for all.",
        "Следующий памп {day} в {hour} на {exchange}. Готовьте {quote}. Next pump, please be on time.",
    ),
    instructions=("Правила: покупаем сразу, держим, продаём частями. Биржа {exchange}, начало {hour}.",),
    countdowns=("До пампа {left} ({exchange})", "{left} до старта. {left} before the pump"),
    last_calls=("Осталось {left}! Следующее сообщение - монета", "{left} !!! next post is the coin"),
    releases=("Монета: {symbol}\n{url}", "Памп! Coin: {symbol} BUY", "{symbol} {symbol} {symbol}"),
    hype=("{ticker} летит 🚀 держим", "Не продаём!", "{ticker} x2, hold it guys"),
    results=("Итог: {ticker} +{gain}%, объём {volume} {quote}. Всем спасибо!", "Pump results: {ticker} +{gain}%. Отличная работа, клуб."),
    delays_by=("Памп переносится на {delay}. The pump is postponed by {delay}.",),
    delays_to=("Перенос! Новая дата: {day}, {hour}, {exchange}. Postponed to the new date above.",),
    cancellations=("Памп отменён. The pump is cancelled, прошу прощения.",),
)

_HINDI = Voice(
    title="Desi Moon Calls 💎",
    username="desimooncalls",
    noise_per_day=3.0,
    topics={"signal": 2, "signal_hit": 2, "greeting": 2, "vip_offer": 1},
    own_noise=(
        "Namaste family 🙏 keep faith, keep patience",
        "Bhai log, no FUD in the chat please",
        "Futures is not for beginners, use small quantity only",
    ),
    dress=(("💎 ", " 💎"), ("", " 🙏")),
    lead_weight=1.5,
    exchanges=("bitmart", "kucoin", "gate.io"),
    clock=clock("weekday", "12", "IST", offset_hours=5.5, relative_words=("Today", "Tomorrow")),
    countdown=(300, 120, 60, 30, 10, 5),
    letters=(plain, hashtag, full_width),
    announcements=(
        "💎 Next moon call 💎\n\n{day} {hour}\nExchange {exchange} only\nKeep {quote} ready, we will pump one hidden gem "
        "together, easy {target}% 🔥",
        "Guys get ready, our pump call comes {day} sharp {hour} on {exchange} 🚀🚀 dont miss like last time",
    ),
    countdowns=(
        "💎 {left} left guys, are you ready?",
        "Only {left} remaining for {exchange} pump 🔥",
        "{left} more... share with your friends",
    ),
    last_calls=("Just {left} 🔥🔥 coin name coming next", "{left} left, stay online, {exchange} open karo"),
    releases=("💎 Coin name: {symbol} 💎\nBuy fast on {exchange}", "Buy {symbol} now now now 🚀", "{url}"),
    hype=("{ticker} rocket 🚀🚀 hold for {target}%", "Dont sell {ticker} early, 2nd wave coming", "Kya baat hai 🔥"),
    results=("Congrats family 💎 {ticker} gave {gain}% in few minutes", "{ticker} pump done, +{gain}% ✅ who all booked profit?"),
    delays_by=("Sorry family, call is delayed by {delay}, network issue on {exchange} 🙏",),
    delays_to=("Pump call shifted to {day} {hour}, same exchange {exchange}. Sorry for the trouble 🙏",),
    cancellations=("Today call cancelled 🙏 BTC dumping badly, safety first",),
)

_WALL_STREET = Voice(
    title="Crypto Pump Syndicate (Official)",
    username="cpsyndicate_official",
    noise_per_day=1.6,
    topics={"market": 2, "invitation": 1, "news": 1},
    own_noise=(
        "The Syndicate reminds its members that impersonators are active. Administrators never write first.",
        "A summary of the quarter will be published at the end of the month.",
    ),
    lead_weight=2.5,
    is_ally=True,
    exchanges=("poloniex", "latoken", "kucoin"),
    clock=clock("month ordinal year", "12", "EST", offset_hours=-5, second_zone=("GMT", 0)),
    countdown=(2880, 1440, 720, 360, 60, 30, 15, 10, 5, 1),
    letters=(plain, spaced, underlined),
    image_share=0.5,
    announcements=(
        "Dear members,\n\nWe are pleased to inform you that the next pump of the Syndicate will take place on {day} at "
        "{hour}. The exchange will be {exchange}, "
        "trading against {quote}. Based on our preparations we expect a rise of {target}% or more. The coin will be published "
        "as an image so that bots cannot read it.\n\n"
        "Kind regards,\nThe Syndicate",
        "NEXT EVENT\n\nDate: {day}\nTime: {hour}\nExchange: {exchange}\nMarket: {quote}\nType: free for all",
    ),
    instructions=(
        "Dear members,\n\nplease transfer your {quote} to {exchange} well before {hour}. Set no limit orders beforehand. The "
        "target is printed in red.",
    ),
    countdowns=("{left} left until the event on {exchange}.", "Dear members, {left} remain. {day}, {hour}."),
    last_calls=("{left} left. The next post will be the coin.", "{left}. Please be logged in on {exchange}."),
    releases=("The coin we have selected is {symbol}.\n\nMarket: {url}", "{symbol}", "Coin of today's event: {symbol} ({ticker}/{quote})"),
    hype=("{ticker} has doubled and continues. Please hold and promote.", "We see strong outside interest. Hold your positions."),
    results=(
        "Dear members,\n\nthe event on {ticker} reached +{gain}% at a volume of {volume} {quote}. We thank all participants.",
        "Summary: {ticker}, peak +{gain}%, duration four minutes.",
    ),
    delays_by=("Dear members, owing to maintenance at {exchange} the event is postponed by {delay}.",),
    delays_to=("Dear members, the event is rescheduled to {day} at {hour}. The exchange remains {exchange}. We apologise.",),
    cancellations=("Dear members, the event is cancelled owing to unusual activity in the selected coin. No action is needed.",),
)

_SPANISH = Voice(
    title="Cohetes y Pumps 🚀 ES/PT",
    username="cohetes_pumps",
    noise_per_day=2.0,
    topics={"invitation": 1, "photo": 1, "market": 1},
    own_noise=(
        "Buenos días comunidad 🚀",
        "Recuerden: solo invertir lo que pueden perder.",
        "Bom dia galera, hoje descanso",
        "¿Quién está listo para el próximo? Dejen su 🚀",
    ),
    dress=(("🚀 ", ""),),
    lead_weight=1.5,
    exchanges=("latoken", "xt", "bitmart"),
    clock=clock("d/m/y", "24 h", "CET", offset_hours=1),
    units=("hora", "horas", "minuto", "minutos"),
    countdown=(1440, 120, 60, 30, 15, 5, 1),
    letters=(plain, squared, bracketed),
    announcements=(
        "🚀 PRÓXIMO PUMP 🚀\n\nFecha: {day}\nHora: {hour}\nExchange: {exchange}\nPar: {quote}\nObjetivo: {target}%",
        "Comunidad, el siguiente pump será el {day} a las {hour} en {exchange}. Next pump on {exchange}, pair {quote}!",
    ),
    countdowns=("Faltan {left} 🚀 {left} left", "⏱ {left} para el pump en {exchange}"),
    last_calls=("¡{left}! El próximo mensaje es la moneda 🚀", "Próximo mensaje = MONEDA. {left}"),
    releases=("La moneda es: {symbol} 🚀\n{url}", "🚀 {symbol} 🚀 COMPREN / COMPRAR", "Coin: {symbol}"),
    hype=("¡{ticker} vuela! 🚀🚀", "No vendan, hold hold", "{ticker} rumo à lua"),
    results=("Resultado del pump: {ticker} +{gain}% 👏 gracias a todos", "{ticker}: máximo +{gain}%, volumen {volume} {quote}"),
    delays_by=("El pump se retrasa {delay}, disculpen. Pump delayed by {delay}.",),
    delays_to=("⚠️ Pump aplazado. Nueva fecha: {day}, {hour}, {exchange}. Postponed!",),
    cancellations=("❌ Pump cancelado por la caída del BTC. Cancelled, lo sentimos.",),
)

_BARE = Voice(
    title="quickpumps.",
    username="quickpumpsdot",
    noise_per_day=1.2,
    topics={"photo": 1, "market": 1},
    is_raided=True,
    own_noise=("gm", "lol", "patience", "big one soon", "stop asking for the coin"),
    lead_weight=2,
    exchanges=("yobit", "mexc", "kucoin"),
    clock=clock("weekday", "military", "GMT", relative_words=("today", "tomorrow")),
    units=("hr", "hrs", "min", "mins"),
    countdown=(60, 30, 15, 10, 5, 3, 1),
    letters=(plain, stacked, circled, underscored),
    announcements=(
        "pump {day} {hour} {exchange}",
        "{exchange} pump {day} at {hour}, {quote} pair. be early",
        "next pump: {day} {hour}. {exchange}",
    ),
    countdowns=("{left}", "{left} left", "t minus {left}"),
    last_calls=("{left}", "{left}. next msg is coin", "ready? {left}"),
    releases=("{symbol}", "{symbol}", "{url}", "coin {symbol}"),
    split_release=("the coin is", "coin:"),
    hype=("hold", "{ticker} {ticker} {ticker}", "dont sell {ticker}"),
    results=("{ticker} did {gain}%. nice", "+{gain}%"),
    delays_by=("delayed {delay}", "btc dumping. pushing it back {delay}"),
    delays_to=("moved. {day} {hour}, {exchange}",),
    cancellations=("cancelled. too many prebuyers", "no pump today"),
)

_WHALES = Voice(
    title="🐳 Deep Blue Whales 🐳",
    username="deepbluewhales_calls",
    noise_per_day=2.8,
    topics={"vip_offer": 3, "signal_hit": 2, "advert": 1, "news": 1, "poll": 1},
    own_noise=("🐳🐳🐳", "🐳 A whale never hurries.", "🐳 VIP members had the name 20 minutes earlier, price list from {handle}"),
    dress=(("🐳 ", " 🐳"), ("🌊 ", "")),
    lead_weight=2,
    is_ally=True,
    exchanges=("hotbit", "latoken", "poloniex"),
    clock=clock("weekday month ordinal", "24 pm", "GMT"),
    countdown=(1440, 600, 360, 120, 60, 40, 20, 10, 5, 2, 1),
    letters=(bold_italic_sans, plain, circled),
    title_letters=bold_italic_sans,
    image_share=0.25,
    announcements=(
        "🐳🐳 WHALE PUMP 🐳🐳\n\n🌊 {day}\n🌊 {hour}\n🌊 {exchange}\n🌊 {quote} market\n\nProfit expected {target}% - {gain}%. For "
        "the name 15 minutes earlier write to {handle}",
        "🐳 The whales meet again: {day}, {hour}. Exchange: {exchange}. Bring {quote} and friends.",
    ),
    instructions=(
        "🌊 Beginners: 1) sign up on {exchange} 2) deposit {quote} 3) wait for {hour} 4) buy at market 5) hold 10 minutes or more 🐳",
    ),
    countdowns=("🐳 {left} to the whale pump 🐳", "🌊 {left} left! Exchange {exchange} 🌊", "🐳 T-{left}. Last chance for VIP: {handle}"),
    last_calls=("🐳🐳 {left} 🐳🐳 coin is next!", "🌊 {left}! Keep {exchange} open, next is the coin"),
    releases=(
        "🐳 COIN IS 👉 {symbol} 👈 🐳\n\n{url}",
        "🐳 {symbol} 🐳",
        "🌊 Pump starts! Coin: {symbol}\nMarket: {ticker}/{quote} on {exchange}",
    ),
    hype=("🐳 {ticker} swims up, hold hold hold", "🌊 second wave of {ticker} starts now", "🐳🐳🐳 no selling"),
    results=("🐳 Result: {ticker} +{gain}% 🐳", "🌊 {ticker} made {gain}% from start to top, volume {volume} {quote}. VIP made more."),
    delays_by=("🐳 Whales need more time: pump delayed {delay} 🐳",),
    delays_to=("🌊 New schedule 🌊 {day}, {hour}. {exchange}. The old time is void.",),
    cancellations=("🐳 Pump cancelled. The water is too rough today.",),
)

PUMP_CHANNELS = (_BIG_PUMP, _SIGNAL, _WALL_STREET, _TURKISH, _BARE, _RUSSIAN, _WHALES, _HINDI, _SPANISH)
