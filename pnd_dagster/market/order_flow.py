"""Order flow at the best quotes, from every update of the book.

Source: Cont, Kukanov and Stoikov (2014), "The price impact of order book events", Journal of Financial Econometrics 12(1).
"""

from __future__ import annotations

import numpy as np

from pnd_dagster.market.book_metrics import Floats, Integers


def best_level_flow(slots: Integers, quotes: Floats, last_quotes: Floats) -> Floats:
    """Order flow imbalance accumulated over a bucket's updates, in base units, [instruments]; NaN without two comparable updates.

    With price P and quantity q of the best bid b and ask a, each update n adds

        e = q_b[n] 1{P_b[n] >= P_b[n-1]} - q_b[n-1] 1{P_b[n] <= P_b[n-1]} - q_a[n] 1{P_a[n] <= P_a[n-1]} + q_a[n-1] 1{P_a[n] >= P_a[n-1]}

    An update beside a one-sided, crossed or locked book adds nothing, and so does one beside a break (a row of NaN: a gap).

    Args:
        slots: [updates], whose update it is, in order of arrival.
        quotes: [updates, 4], best bid price and quantity, best ask price and quantity.
        last_quotes: [instruments, 4], the last quotes before the bucket, NaN where unknown; those after it are written into it.
    """
    count = len(last_quotes)
    seen = np.unique(slots)
    # Each instrument's last quotes first, then its updates in order of arrival.
    every_slot = np.concatenate((seen, slots))
    order = np.argsort(every_slot, kind="stable")
    chain_slots = every_slot[order]
    chain = np.concatenate((last_quotes[seen], quotes))[order]
    is_last = np.append(chain_slots[1:] != chain_slots[:-1], True) if len(chain) else np.zeros(0, np.bool_)
    last_quotes[seen] = chain[is_last]

    is_whole = np.isfinite(chain).all(axis=1) & (chain[:, 0] < chain[:, 2])
    is_pair = (chain_slots[1:] == chain_slots[:-1]) & is_whole[1:] & is_whole[:-1]
    bid_price, bid_quantity, ask_price, ask_quantity = chain[1:].T
    old_bid_price, old_bid_quantity, old_ask_price, old_ask_quantity = chain[:-1].T
    events = (
        bid_quantity * (bid_price >= old_bid_price)
        - old_bid_quantity * (bid_price <= old_bid_price)
        - ask_quantity * (ask_price <= old_ask_price)
        + old_ask_quantity * (ask_price >= old_ask_price)
    )
    of = chain_slots[1:][is_pair]
    flow = np.bincount(of, events[is_pair], minlength=count)
    return np.where(np.bincount(of, minlength=count) > 0, flow, np.nan)
