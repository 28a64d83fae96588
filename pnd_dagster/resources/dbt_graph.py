"""The dbt project as assets and checks, as dagster-dbt makes them of its manifest.

Importing dagster-dbt takes two seconds and 80 MB, which every process that loads definitions would pay. So what it makes is written down
when the project has changed, by `python -m pnd_dagster.resources.dbt_graph` (a part of `make install`), and definitions read that.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

import dagster as dg

from pnd_dagster.errors import PndError
from pnd_dagster.warehouse.prepare import prepare
from pnd_dagster.warehouse.project import GRAPH, MANIFEST

OWNERS = ["team:data-platform"]
UNIQUE_ID = "dagster_dbt/unique_id"
"""Metadata of an asset or check: its id in the manifest."""

# What only dagster-dbt's own execution of the assets needs.
_OF_EXECUTION = ("dagster_dbt/manifest", "dagster_dbt/dagster_dbt_translator", "dagster_dbt/project_id")


class DbtGraph(NamedTuple):
    """What dagster-dbt makes of the project, each by its id in the manifest.

    Attributes:
        assets: of models and seeds.
        checks: of tests.
        names: what `dbt --select` calls them.
    """

    assets: dict[str, dg.AssetSpec]
    checks: dict[str, dg.AssetCheckSpec]
    names: dict[str, str]

    def selection(self, assets: Collection[dg.AssetKey], checks: Collection[dg.AssetCheckKey]) -> list[str]:
        """Arguments of `dbt build` that build these assets and run these checks, and nothing else; none where that is all there is."""
        wanted = [unique_id for unique_id, spec in self.assets.items() if spec.key in assets]
        wanted += [unique_id for unique_id, check in self.checks.items() if check.key in checks]
        if len(wanted) == len(self.assets) + len(self.checks):
            return []
        return ["--indirect-selection", "empty", "--select", *sorted(self.names[unique_id] for unique_id in wanted)]


def read_graph() -> DbtGraph:
    """What was written down last."""
    stored = cast("dict[str, Any]", dg.deserialize_value(json.loads(GRAPH.read_text())["graph"]))
    assets: dict[str, dg.AssetSpec] = {}
    for unique_id, asset in stored["assets"].items():
        deps, kinds = [dg.AssetDep(**dep) for dep in asset.pop("deps")], set[str](asset.pop("kinds"))
        assets[unique_id] = dg.AssetSpec(**asset, deps=deps, kinds=kinds, owners=OWNERS)
    checks = {unique_id: dg.AssetCheckSpec(**check) for unique_id, check in stored["checks"].items()}
    return DbtGraph(assets, checks, stored["names"])


def prepare_graph() -> bool:
    """Parses the dbt project and writes down what dagster-dbt makes of it, unless both are up to date.

    Returns:
        Whether there was anything to do.

    Raises:
        SourceError: dbt is missing or refuses the project; quotes it.
    """
    is_parsed = prepare()
    made_of = _made_of()
    is_current = GRAPH.exists() and json.loads(GRAPH.read_text()).get("made_of") == made_of
    if not is_current:
        temporary = GRAPH.with_name(f"{GRAPH.name}.{os.getpid()}")
        temporary.write_text(json.dumps({"made_of": made_of, "graph": _made()}))
        temporary.replace(GRAPH)
    return is_parsed or not is_current


def _made_of() -> list[str]:
    """What the graph depends on: the project, this file, and the libraries, which may not read what another version of theirs wrote."""
    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return [MANIFEST.with_suffix(".sha256").read_text(), here, version("dagster"), version("dagster-dbt")]


def _made() -> str:
    from dagster_dbt import DagsterDbtTranslator, dbt_assets

    class Translator(DagsterDbtTranslator):
        def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
            return dg.AssetKey([dbt_resource_props["schema"], dbt_resource_props["name"]])

        def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
            return str(dbt_resource_props["description"])

    @dbt_assets(manifest=MANIFEST, dagster_dbt_translator=Translator())
    def marts() -> Iterator[Any]:
        yield

    assets = {
        str(spec.metadata[UNIQUE_ID]): {
            "key": spec.key,
            "deps": [{"asset": dep.asset_key, "metadata": dict(dep.metadata) or None} for dep in spec.deps],
            "description": spec.description,
            "metadata": {name: value for name, value in spec.metadata.items() if name not in _OF_EXECUTION},
            "skippable": spec.skippable,
            "code_version": spec.code_version,
            "kinds": sorted(spec.kinds),
        }
        for spec in marts.specs
    }
    checks = {
        str((check.metadata or {})[UNIQUE_ID]): {
            "name": check.name,
            "asset": check.asset_key,
            "additional_deps": [dep.asset_key for dep in check.additional_deps],
            "metadata": check.metadata,
            "blocking": check.blocking,
        }
        for check in marts.check_specs
    }
    nodes = json.loads(MANIFEST.read_text())["nodes"]
    names = {unique_id: ".".join(nodes[unique_id]["fqn"]) for unique_id in (*assets, *checks)}
    return dg.serialize_value({"assets": assets, "checks": checks, "names": names})


if __name__ == "__main__":
    try:
        print("parsed the dbt project" if prepare_graph() else "the dbt project is parsed", file=sys.stderr)  # noqa: T201
    except PndError as error:
        sys.exit(str(error))
