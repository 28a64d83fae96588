"""Clusters of a made-up installation's coins."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from pnd_dagster.candidates import clustering
from pnd_dagster.candidates.learned import coin_clusters
from pnd_dagster.candidates.learned.panels import Pump, Source
from tests.unit.candidates.learned.made_up import START, made_up


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    """22 coins on one exchange, two of them on another one too."""
    monkeypatch.setattr(clustering, "COUNTS", range(2, 4))
    monkeypatch.setattr(clustering, "INITS", 1)
    panel, _ = made_up(coins=24, days=31, pumps=0)
    panel = panel._replace(symbols=[*panel.symbols[:22], "C03", "C04"])
    source = Source(panel, [Pump(22, START), Pump(5, START)], ["a note"])
    monkeypatch.setattr(coin_clusters, "platform", lambda engine, newest: source)  # pyright: ignore[reportUnknownLambdaType]
    return source


@pytest.fixture
def nowhere() -> sa.Engine:
    return sa.create_engine("postgresql+psycopg://nowhere/none")


@pytest.mark.usefixtures("source")
def test_a_coin_of_several_exchanges_counts_once(nowhere: sa.Engine) -> None:
    found = coin_clusters.platform_clusters(nowhere)
    assert found.shares is not None
    sums = found.shares.group_by("algorithm").sum()
    assert set(sums["n"]) == {22}
    assert set(sums["marked"]) == {2}
    assert "22 of 22 coins with 20 of the 30 days to 2024-01-31" in found.notes
    assert "2 more pairs of the same symbols on other exchanges are left out" in found.notes


def test_coins_that_do_not_differ_are_not_clustered(source: Source, nowhere: sa.Engine) -> None:
    for values in source.panel.observed.values():
        values[:] = np.ones_like(values)
    found = coin_clusters.platform_clusters(nowhere)
    assert found.clusters is None
    assert found.notes[-1] == "not clustered: the coins do not differ in any feature"
