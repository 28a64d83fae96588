"""The wheel carries the dbt project, which lies outside the packages."""

from __future__ import annotations

import tomllib
from pathlib import Path

TOP = Path(__file__).parents[3]
MADE_BY_DBT = {"target", "logs", "dbt_packages", ".gitignore", ".user.yml"}


def test_the_wheel_takes_all_of_the_dbt_project_that_people_write() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    taken = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    written = {
        f"dbt/{path.name}": f"pnd_dagster/warehouse/dbt/{path.name}" for path in (TOP / "dbt").iterdir() if path.name not in MADE_BY_DBT
    }
    assert taken == written
