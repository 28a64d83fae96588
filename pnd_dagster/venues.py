"""The registry of exchanges: names, kinds, domains, and how their mentions are told from words and coins.

Belongs here: what an exchange is called and where its site is. Does not belong here: what its API speaks, or which of its
names a message meant in the context of a channel.

Ids are canonical and lower case, as in the logs of pumps that researchers published (`gate.io`, `binance`). Exchanges that
no longer exist are kept: history names them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Venue:
    """An exchange.

    Attributes:
        id: canonical lower-case id.
        name: the name it is known by.
        kind: `cex` for a company that keeps custody, `dex` for one that trades on a chain (chart sites that stand for one included).
        is_defunct: True if it no longer trades.
        aliases: lower-case names that mean the exchange wherever they stand.
        domains: hosts of its site, without `www.`.
        ambiguous_aliases: lower-case names that are also words or coins, and mean the exchange only in certain places.
    """

    id: str
    name: str
    kind: Literal["cex", "dex"]
    is_defunct: bool
    aliases: tuple[str, ...]
    domains: tuple[str, ...]
    ambiguous_aliases: tuple[str, ...] = ()


class VenueMention(NamedTuple):
    """A place in a text that names a venue; `text[start:end]` includes a `_CEX` or `_DEX` tag if there is one."""

    venue: Venue
    start: int
    end: int


# id | name | aliases | domains | ambiguous aliases. A trailing "+" on the id marks a defunct venue.
_CEX = """
binance|Binance|binance,binanc,binnance,binance exchange|binance.com,binance.je,binance.org,binance.vision|
binance.us|Binance US|binance.us,binance us,binanceus|binance.us|
yobit+|YoBit|yobit,yo bit,yobitnet,yobit net|yobit.net,yobit.io,yobitex.net|
kucoin|KuCoin|kucoin,ku coin,kucion,kucoins,kocoin|kucoin.com,kucoin.cc,kcs.top|
hotbit+|Hotbit|hotbit,hot bit|hotbit.io,hotbit.pro|
gate.io|Gate.io|gate.io,gateio,gate io,gate-io,gate.com|gate.io,gate.com,gateio.ch|gate
cryptopia+|Cryptopia|cryptopia,crytopia,cryptopia.co.nz|cryptopia.co.nz|topia
bittrex+|Bittrex|bittrex,bitrex,bittrex global|bittrex.com|
poloniex|Poloniex|poloniex,polonix,polniex|poloniex.com|polo
mexc|MEXC|mexc,mexc global,mexc.com,mxc.com,mxc exchange|mexc.com,mexc.io,mxc.com,mxc.co|mxc
latoken|LATOKEN|latoken,la token,latokens|latoken.com|
xt|XT.com|xt.com,xt exchange,xtcom|xt.com,xt.pub|xt
lbank|LBank|lbank,l bank,lbank.info|lbank.info,lbank.com,lbkex.com|
digifinex|DigiFinex|digifinex,digi finex,digifinix|digifinex.com,digifinex.io|
bitmart|BitMart|bitmart,bit mart|bitmart.com|
coinexchange+|CoinExchange|coinexchange,coinexchange.io|coinexchange.io|
crex24+|Crex24|crex24,crex 24|crex24.com|
okx|OKX|okx,okex,ok ex|okx.com,okex.com|
huobi|HTX (Huobi)|huobi,huobi global,houbi,huobi pro|huobi.com,huobi.pro,huobi.com.ru,hbg.com,htx.com|htx
ftx+|FTX|ftx exchange|ftx.com,ftx.us|ftx
bybit|Bybit|bybit|bybit.com|
bitget|Bitget|bitget|bitget.com|
bingx|BingX|bingx|bingx.com|
bitmex|BitMEX|bitmex|bitmex.com|
bitfinex|Bitfinex|bitfinex|bitfinex.com|
bitstamp|Bitstamp|bitstamp|bitstamp.net|
coinbase|Coinbase|coinbase,coinbase pro,gdax|coinbase.com,gdax.com|
kraken|Kraken|kraken exchange,kraken.com|kraken.com|kraken
gemini|Gemini|gemini.com,gemini exchange|gemini.com|gemini
crypto.com|Crypto.com|crypto.com exchange|crypto.com|crypto.com
hitbtc|HitBTC|hitbtc,hit btc|hitbtc.com|
upbit|Upbit|upbit|upbit.com|
bithumb|Bithumb|bithumb|bithumb.com,bithumb.pro|
korbit|Korbit|korbit|korbit.co.kr|
coinone|Coinone|coinone|coinone.co.kr|
livecoin+|Livecoin|livecoin|livecoin.net|
mercatox+|Mercatox|mercatox|mercatox.com|
southxchange|SouthXchange|southxchange|southxchange.com|
tradeogre+|TradeOgre|tradeogre|tradeogre.com|
graviex|Graviex|graviex|graviex.net|
vindax|VinDAX|vindax|vindax.com|
probit|ProBit|probit,probit global|probit.com,probit.kr|
ascendex|AscendEX (BitMax)|ascendex,bitmax|ascendex.com,bitmax.io|
bibox+|Bibox|bibox|bibox.com|
bitrue|Bitrue|bitrue|bitrue.com|
bitz+|Bit-Z|bit-z,bitz|bit-z.com,bitz.com|
bitforex+|BitForex|bitforex|bitforex.com|
bigone|BigONE|bigone,big one exchange|big.one|
bilaxy+|Bilaxy|bilaxy|bilaxy.com|
bkex+|BKEX|bkex|bkex.com|
btse|BTSE|btse|btse.com|
cointiger+|CoinTiger|cointiger|cointiger.com|
coinbene+|CoinBene|coinbene|coinbene.com|
coinex|CoinEx|coinex|coinex.com|
coineal+|Coineal|coineal|coineal.com|
coinsbit|Coinsbit|coinsbit|coinsbit.io|
coinstore|Coinstore|coinstore|coinstore.com|
coinw|CoinW|coinw|coinw.com|
coindcx|CoinDCX|coindcx|coindcx.com|
cobinhood+|COBINHOOD|cobinhood|cobinhood.com|
coss+|COSS|coss.io,coss exchange|coss.io|coss
c-cex+|C-CEX|c-cex,c-cex.com|c-cex.com|
cex.io|CEX.IO|cex.io|cex.io|
novaexchange+|Nova Exchange|novaexchange,nova exchange|novaexchange.com|
bleutrade+|Bleutrade|bleutrade|bleutrade.com|
coinsmarkets+|CoinsMarkets|coinsmarkets|coinsmarkets.com|
tidex+|Tidex|tidex|tidex.com|
stex+|STEX|stex.com,stocks.exchange|stex.com,stocks.exchange|stex
exmo|EXMO|exmo|exmo.com,exmo.me|
p2pb2b|P2B (P2PB2B)|p2pb2b|p2pb2b.io,p2b.io|p2b
whitebit|WhiteBIT|whitebit|whitebit.com|
azbit|Azbit|azbit|azbit.com|
dex-trade|Dex-Trade|dex-trade|dex-trade.com|
indoex+|Indoex|indoex|indoex.io|
biconomy|Biconomy|biconomy.com,biconomy exchange|biconomy.com|biconomy
hoo+|Hoo|hoo.com,hoo exchange|hoo.com|hoo
phemex|Phemex|phemex|phemex.com|
deribit|Deribit|deribit|deribit.com|
weex|WEEX|weex|weex.com|
toobit|Toobit|toobit|toobit.com|
hotcoin|Hotcoin|hotcoin|hotcoin.com|
fameex|FameEX|fameex|fameex.com|
deepcoin|Deepcoin|deepcoin|deepcoin.com|
orangex|OrangeX|orangex|orangex.com|
bitunix|Bitunix|bitunix|bitunix.com|
tapbit|Tapbit|tapbit|tapbit.com|
citex+|CITEX|citex|citex.io|
pointpay|PointPay|pointpay|pointpay.io,exchange.pointpay.io|
bitvavo|Bitvavo|bitvavo|bitvavo.com|
pionex|Pionex|pionex|pionex.com|
bitvenus|BitVenus|bitvenus|bitvenus.com|
trubit|TruBit|trubit|trubit.com|
fastex|Fastex|fastex|fastex.com|
ztb|ZTB|ztb.com,ztb.im|ztb.com,ztb.im|ztb
cointr|CoinTR|cointr|cointr.com|
wazirx|WazirX|wazirx|wazirx.com|
bitbns|Bitbns|bitbns|bitbns.com|
zebpay|ZebPay|zebpay|zebpay.com|
koinex+|Koinex|koinex|koinex.in|
indodax|Indodax|indodax|indodax.com|
tokocrypto|Tokocrypto|tokocrypto|tokocrypto.com|
luno|Luno|luno.com|luno.com|luno
bitkub|Bitkub|bitkub|bitkub.com|
liquid+|Liquid|liquid.com,quoine|liquid.com|liquid
okcoin|OKCoin|okcoin|okcoin.com,okcoin.cn|
zb+|ZB.com|zb.com|zb.com|zb
bw+|BW.com|bw.com|bw.com|bw
bitflyer|bitFlyer|bitflyer|bitflyer.com|
btcturk|BtcTurk|btcturk|btcturk.com|
paribu|Paribu|paribu|paribu.com|
thodex+|Thodex|thodex|thodex.com|
primexbt|PrimeXBT|primexbt,prime xbt|primexbt.com|
nominex+|Nominex|nominex|nominex.io|
stakecube|StakeCube|stakecube|stakecube.net|
txbit+|Txbit|txbit|txbit.io|
tokok+|TOKOK|tokok|tokok.com|
exrates+|Exrates|exrates|exrates.me|
finexbox+|FinexBox|finexbox|finexbox.com|
bvnex+|BVNEX|bvnex|bvnex.com|
btcalpha|BTC-Alpha|btc-alpha|btc-alpha.com|
catex+|Catex|catex|catex.io|
"""
_DEX = """
pancakeswap|PancakeSwap|pancakeswap,pancake swap,pancakswap,pankcakeswap|pancakeswap.finance,pancakeswap.com|pancake
poocoin|PooCoin|poocoin,poo coin|poocoin.app|
uniswap|Uniswap|uniswap,uni swap|uniswap.org,uniswap.info|
sushiswap|SushiSwap|sushiswap,sushi swap|sushi.com,sushiswap.fi|
raydium|Raydium|raydium|raydium.io|
quickswap|QuickSwap|quickswap|quickswap.exchange|
1inch|1inch|1inch.io,1inch exchange|1inch.io,1inch.exchange|1inch
etherdelta+|EtherDelta|etherdelta|etherdelta.com|
forkdelta+|ForkDelta|forkdelta|forkdelta.app,forkdelta.github.io|
idex|IDEX|idex.market,idex.io|idex.market,idex.io|idex
justswap|SunSwap (JustSwap)|justswap,sunswap|justswap.io,sunswap.com,sun.io|
apeswap|ApeSwap|apeswap|apeswap.finance|
traderjoe|Trader Joe|trader joe,traderjoe|traderjoexyz.com|
spookyswap|SpookySwap|spookyswap|spooky.fi|
bakeryswap|BakerySwap|bakeryswap|bakeryswap.org|
jupiter|Jupiter|jup.ag|jup.ag|jupiter
pump.fun|Pump.fun|pump.fun,pumpfun|pump.fun|
dodo|DODO|dodoex|dodoex.io|dodo
curve|Curve|curve finance,curve.fi|curve.fi|curve
balancer|Balancer|balancer.fi|balancer.fi|balancer
orca|Orca|orca.so|orca.so|orca
waves|Waves.Exchange|waves.exchange,waves exchange,waves dex|waves.exchange|
dydx|dYdX|dydx.exchange|dydx.exchange|dydx
hyperliquid|Hyperliquid|hyperliquid|hyperliquid.xyz|
aerodrome|Aerodrome|aerodrome finance|aerodrome.finance|aerodrome
camelot|Camelot|camelot.exchange|camelot.exchange|camelot
openocean|OpenOcean|openocean|openocean.finance|
vvs|VVS Finance|vvs finance|vvs.finance|
dedust|DeDust|dedust|dedust.io|
ston.fi|STON.fi|ston.fi|ston.fi|
meteora|Meteora|meteora.ag|meteora.ag|meteora
osmosis|Osmosis|osmosis.zone|osmosis.zone|osmosis
thorchain|THORChain|thorswap|thorchain.org,thorswap.finance|thorchain
binance-dex+|Binance DEX|binance dex|dex.binance.org|
"""


def _parse(table: str, kind: Literal["cex", "dex"]) -> list[Venue]:
    def names(cell: str) -> tuple[str, ...]:
        return tuple(name for name in cell.split(",") if name)

    rows = [line.split("|") for line in table.strip().splitlines()]
    return [Venue(i.rstrip("+"), name, kind, i.endswith("+"), names(a), names(d), names(w)) for i, name, a, d, w in rows]


VENUES: tuple[Venue, ...] = (*_parse(_CEX, "cex"), *_parse(_DEX, "dex"))
_BY_ID = {venue.id: venue for venue in VENUES}
_STRONG = {alias: venue for venue in VENUES for alias in venue.aliases}
_WEAK = {alias: venue for venue in VENUES for alias in venue.ambiguous_aliases}
_DOMAINS = {domain: venue for venue in VENUES for domain in venue.domains}
_FIRST_WORDS = frozenset(alias.split(" ")[0] for alias in _STRONG if " " in alias)
# Every word that may begin or be a mention: what is not in here is passed over with one look-up.
_HEADS = frozenset({*_STRONG, *_WEAK, *_DOMAINS, *_FIRST_WORDS, *_BY_ID})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# English words and well-known coins: in lower case they name the exchange only right after "exchange" or before it.
_WORDS = _words("gate topia polo kraken gemini coss liquid luno pancake jupiter dodo curve balancer orca aerodrome camelot meteora osmosis")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]*")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_NEXT_WORD = re.compile(r" ([A-Za-z0-9]+)")
_TAG = re.compile(r"_(?:CEX|DEX)(?![A-Za-z0-9])")
_NAMED_BEFORE = re.compile(
    r"(?:exchange|exchanges|platform|venue|market)(?: name)?(?: is| will be)?(?:\s*[:=\-–—>~]+|\s+[:=>]*)\s*(?:the )?\**$", re.IGNORECASE
)
_ON_BEFORE = re.compile(r"\b(?:on|at|via)\s+(?:the )?$", re.IGNORECASE)
_EXCHANGE_AFTER = re.compile(r"\s*\**\s*(?:exchange|global exchange|spot market|trading platform)\b", re.IGNORECASE)
_COIN_AFTER = re.compile(
    r"\s*(?:[-_/]\s*(?:BTC|USDT?|ETH|BNB|BUSD|USDC|TRX|EUR)\b|(?:coin|token|chain|protocol|network)s?\b)", re.IGNORECASE
)
_LIST_GAP = re.compile(r"\s*(?:[,/&|+;]|and|or)\s*", re.IGNORECASE)


@cache
def venue_by_id(venue_id: str) -> Venue | None:
    """The venue of a canonical id, or None."""
    return _BY_ID.get(venue_id)


def venue_by_alias(alias: str) -> Venue | None:
    """The venue that `alias` names when it is known to be an exchange's name, in any case; ambiguous names count, a domain too."""
    key = " ".join(alias.split()).lower()
    return _BY_ID.get(key) or _STRONG.get(key) or _WEAK.get(key) or venue_by_domain(key)


def venue_by_domain(host: str) -> Venue | None:
    """The venue whose site is at `host` or above it (`trade.kucoin.com` is KuCoin's), or None."""
    labels = host.lower().strip(".").split(".")
    for first in range(max(len(labels) - 3, 0), len(labels) - 1) if len(labels) > 1 else ():
        if venue := _DOMAINS.get(".".join(labels[first:])):
            return venue
    return None


def find_venues(text: str) -> list[VenueMention]:
    """Mentions of venues in a normalised text, in order.

    Names that are also words or coins (MXC, gate, XT, IDEX ...) count only where they mean the exchange: tagged, in a link
    placeholder, after "exchange:" or (not in lower case) "on", before "exchange", or in a list beside another venue; never as
    `$MXC`, `#MXC`, `MXC/BTC` or `MXC coin`.
    """
    mentions: list[VenueMention] = []
    skip_to = 0
    for match in _TOKEN.finditer(text):
        token = match.group().lower()
        start = match.start()
        if start < skip_to:
            continue
        if token in _HEADS:
            mention = _at(text, start, match.end(), token, mentions)
            if mention is not None:
                mentions.append(mention)
                skip_to = mention.end
            continue
        if "." not in token and "-" not in token:
            continue
        bare = token.rstrip(".-")
        venue = _DOMAINS.get(bare) or (venue_by_domain(bare) if "." in bare else None)
        if venue is not None and bare not in _WEAK:
            mentions.append(VenueMention(venue, start, _with_tag(text, start + len(bare))))
            continue
        pieces = [(start, bare)] if bare in _HEADS else [(start + piece.start(), piece.group()) for piece in _PIECE.finditer(token)]
        for at, piece in pieces:
            if at >= skip_to and piece in _HEADS and (mention := _at(text, at, at + len(piece), piece, mentions)) is not None:
                mentions.append(mention)
                skip_to = mention.end
    return mentions


def _at(text: str, start: int, end: int, token: str, before: list[VenueMention]) -> VenueMention | None:
    """The mention that begins with `token` at `start`, the longest alias first."""
    if token in _FIRST_WORDS and (following := _NEXT_WORD.match(text, end)):
        two = f"{token} {following.group(1).lower()}"
        if two in _STRONG:
            return VenueMention(_STRONG[two], start, _with_tag(text, following.end()))
    if venue := _STRONG.get(token):
        return VenueMention(venue, start, _with_tag(text, end))
    venue = _WEAK.get(token) or _BY_ID.get(token)
    if venue is not None and (_TAG.match(text, end) or text.endswith("_URL(", 0, start)):
        return VenueMention(venue, start, _with_tag(text, end))
    if token in _WEAK and _means_exchange(text, start, end, before):
        return VenueMention(_WEAK[token], start, end)
    if token in _DOMAINS and token not in _WEAK:
        return VenueMention(_DOMAINS[token], start, _with_tag(text, end))
    return None


def _with_tag(text: str, end: int) -> int:
    tag = _TAG.match(text, end)
    return tag.end() if tag else end


def _means_exchange(text: str, start: int, end: int, before: list[VenueMention]) -> bool:
    """Whether an ambiguous name at text[start:end] means the exchange there."""
    if (start and text[start - 1] in "$#@/") or _COIN_AFTER.match(text, end):
        return False
    head = text[max(start - 40, 0) : start]
    if _NAMED_BEFORE.search(head) or _EXCHANGE_AFTER.match(text, end):
        return True
    word = text[start:end]
    is_plain = word.islower() and word in _WORDS
    if is_plain:
        return False
    if _ON_BEFORE.search(head):
        return True
    return bool(before) and start - before[-1].end <= 7 and _LIST_GAP.fullmatch(text, before[-1].end, start) is not None
