"""Token standards that follow from the platform a token lives on, by CoinMarketCap's names of platforms and tags."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Platforms that run Ethereum's virtual machine and call their standard as Ethereum does.
_ERC_20 = (
    *("ethereum", "polygon", "arbitrum", "base", "optimism", "fantom", "cronos", "linea", "blast", "scroll", "mantle", "metis-andromeda"),
    *("zksync-era", "gnosis-chain", "celo", "moonbeam", "moonriver", "aurora", "harmony", "evmos", "kava", "pulsechain", "sonic", "sei-v2"),
    *("manta-pacific", "mode", "core-dao", "worldchain", "unichain", "abstract", "berachain", "hyperevm", "ronin", "dogechain", "oasys"),
)
_STANDARDS = {
    **dict.fromkeys(_ERC_20, "ERC-20"),
    "bnb-smart-chain": "BEP-20",
    "bnb-beacon-chain": "BEP-2",
    "solana": "SPL",
    "tron": "TRC-20",
    "avalanche-c-chain": "ARC-20",
    "toncoin": "TEP-74",
    "near": "NEP-141",
    "neo": "NEP-5",
    "algorand": "ASA",
    "huobi-eco-chain": "HRC-20",
    "kucoin-community-chain": "KRC-20",
    "okexchain": "KIP-20",
    "klaytn": "KIP-7",
    "icon": "IRC-2",
    "vechain": "VIP-180",
    "cardano": "Cardano native asset",
    "stellar": "Stellar asset",
    "xrp-ledger": "XRPL issued currency",
    "hedera-hashgraph": "HTS",
    "sui-network": "Sui coin",
    "aptos": "Aptos coin",
    "multiversx": "ESDT",
    "waves": "Waves asset",
    "eos": "eosio.token",
    "cosmos": "ICS-20",
    "osmosis": "ICS-20",
}
# Other names that CoinMarketCap gave the same platforms in its years.
_ALIASES = (
    (r"^(bnb|binance)(-smart)?-chain|^bnb$|bep20", "bnb-smart-chain"),
    (r"beacon|bep2$|^binance-coin", "bnb-beacon-chain"),
    (r"^tron", "tron"),
    (r"^avalanche", "avalanche-c-chain"),
    (r"^ton$|^toncoin|open-network", "toncoin"),
    (r"^near", "near"),
    (r"^polygon|^matic", "polygon"),
    (r"^arbitrum", "arbitrum"),
    (r"^optimism|^op-mainnet", "optimism"),
    (r"^zksync", "zksync-era"),
    (r"^(heco|huobi)", "huobi-eco-chain"),
    (r"^(kucoin|kcc)", "kucoin-community-chain"),
    (r"^(okexchain|okt|okc)", "okexchain"),
    (r"^(klaytn|kaia)", "klaytn"),
    (r"^(xrp|xrpl)", "xrp-ledger"),
    (r"^hedera", "hedera-hashgraph"),
    (r"^sui", "sui-network"),
    (r"^(multiversx|elrond|egld)", "multiversx"),
    (r"^(gnosis|xdai)", "gnosis-chain"),
    (r"^world-?chain", "worldchain"),
    (r"^sonic", "sonic"),
    (r"^sei", "sei-v2"),
)
_BITCOIN_TAGS = (("runes", "Runes"), ("brc-20", "BRC-20"), ("brc20", "BRC-20"))


def token_standard(platform: str | None, tags: Iterable[str] = ()) -> str | None:
    """The standard of a token; None for a coin of its own chain and for platforms we do not know.

    Args:
        platform: CoinMarketCap's name of the platform, e.g. "BNB Smart Chain (BEP20)".
        tags: slugs of the coin's tags; tokens on Bitcoin are told apart by them, since they have no contract.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", platform.lower()).strip("-") if platform else ""
    if slug in ("", "bitcoin"):
        slugs = [tag.lower() for tag in tags]
        return next((standard for word, standard in _BITCOIN_TAGS if any(word in tag for tag in slugs)), None)
    if slug not in _STANDARDS:
        slug = next((known for pattern, known in _ALIASES if re.search(pattern, slug)), slug)
    return _STANDARDS.get(slug)
