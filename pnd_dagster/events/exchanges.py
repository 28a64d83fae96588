"""The exchange a message means, among those it mentions. The registry of exchanges and how names are found is in `venues`."""

from __future__ import annotations

import re
from collections import Counter

from pnd_dagster.venues import find_venues

_READ_CHARACTERS = 4000
_LABEL = re.compile(r"(?:exchange|borsa|платформа|биржа|market|platform)\W{1,12}$", re.IGNORECASE)


def read_exchange(text: str) -> str | None:
    """Canonical id of the exchange that `text` (normalised) means, or None.

    'Exchange: X' wins, then the exchange named most often, the first on a tie; three or more named alike are a list and mean none.
    """
    text = text[:_READ_CHARACTERS]
    mentions = find_venues(text)
    if not mentions:
        return None
    for mention in mentions:
        if _LABEL.search(text[max(0, mention.start - 24) : mention.start]):
            return mention.venue.id
    counts = Counter(mention.venue.id for mention in mentions)
    (best, most), *others = counts.most_common()
    is_list = len(others) >= 2 and others[1][1] == most
    return None if is_list else best
