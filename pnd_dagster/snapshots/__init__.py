"""What vendors say of coins: LunarCrush, CoinMarketCap, CoinCodex."""
