"""`pnd read-image` as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pnd_dagster.cli.images import read_image
from pnd_dagster.errors import SourceError


def test_every_picture_of_a_folder_gets_a_row_and_only_reveals_get_a_symbol(
    tmp_path: Path, logo: bytes, save_reveal: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    save_reveal("NEBL", "pictures/deeper/re,veal.jpg")
    (tmp_path / "pictures/logo.PNG").write_bytes(logo)
    (tmp_path / "pictures/drawing.svg").write_text("<svg/>")
    (tmp_path / "pictures/notes.txt").write_text("no picture")
    read_image(tmp_path / "pictures", tmp_path / "out.csv", as_json=True)
    frame = pl.read_csv(tmp_path / "out.csv")
    assert frame.columns[:3] == ["image_file", "symbol", "confidence"]
    assert frame.select("image_file", "symbol", "status").rows() == [
        ("deeper/re,veal.jpg", "NEBL", "reveal"),
        ("drawing.svg", None, "refused"),
        ("logo.PNG", None, "none"),
    ]
    assert frame["confidence"].is_null().to_list() == [False, True, True]
    assert '"pictures": 3' in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.csv", "pictures"]


def test_a_folder_that_is_missing_or_holds_no_pictures_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none: no such folder"):
        read_image(tmp_path / "none", tmp_path / "out.csv")
    with pytest.raises(SourceError, match="no pictures in it"):
        read_image(tmp_path, tmp_path / "out.csv")
    with pytest.raises(SourceError, match="does not exist"):
        read_image(tmp_path, tmp_path / "none/out.csv")
