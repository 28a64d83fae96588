"""Group `analysis`: the paper's tables and figures on what the platform holds, one asset each, with the paper's values beside."""

import dagster as dg

from pnd_dagster.analysis.catalogue import ANALYSES, Analysis
from pnd_dagster.analysis.results import Result, as_markdown, export
from pnd_dagster.analysis.sources import sources_of
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.resources.plots import picture

PREVIEW_ROWS = 30


def _asset(analysis: Analysis) -> dg.AssetsDefinition:
    @dg.asset(
        key=["analysis", analysis.name],
        description=f"{analysis.title}. Also written as Parquet and PNG, under analysis in PND_HOME.",
        kinds={"polars", "parquet"},
        owners=["team:data-platform"],
        deps=[dg.AssetKey(table.split(".")) for table in analysis.reads],
    )
    def asset(database: DatabaseResource) -> dg.MaterializeResult:
        with told_to_dagster():
            result = analysis.compute(sources_of(database.engine, database.settings))
            folder = database.settings.home / "analysis"
            written = export(result, folder, analysis.stem)
        return dg.MaterializeResult(metadata=_shown(result) | {"folder": str(folder), "files": ", ".join(path.name for path in written)})

    return asset


def _shown(result: Result) -> dict[str, dg.MetadataValue | int]:
    notes = "\n".join(f"- {note}" for note in result.notes)
    tables = {name: dg.MetadataValue.md(as_markdown(frame, PREVIEW_ROWS)) for name, frame in result.tables.items()}
    figures = {f"figure_{name}": picture(image, name) for name, image in result.figures.items()}
    rows = next(iter(result.tables.values())).height
    return {"notes": dg.MetadataValue.md(notes or "none"), **tables, **figures, "dagster/row_count": rows}


ASSETS = [_asset(analysis) for analysis in ANALYSES]

CHECKS: list[dg.AssetChecksDefinition] = []
