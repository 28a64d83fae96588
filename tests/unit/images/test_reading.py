"""Pictures through the real reading process: what it reads, what it may not do, and that no picture stops the others."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from pnd_dagster.errors import SourceError
from pnd_dagster.images import reading
from pnd_dagster.images.reading import ImageReading, inside, read_images
from pnd_dagster.images.safety import Limits

SaveReveal = Callable[..., Path]
has_proc = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="no /proc")


def worker_ids() -> list[int]:
    """The reading processes of this process."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == os.getpid() and b"pnd_dagster.images.worker" in command:
                found.append(int(folder.name))
    return found


def page(file: Path) -> Path:
    """A picture full of small words, which takes seconds to read."""
    rng = random.Random(5)
    picture = Image.new("RGB", (1000, 1000), "white")
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default(12)
    for row in range(0, 980, 13):
        for column in range(0, 1000, 100):
            canvas.text((column + 3, row), "".join(rng.choices("ABCDEFGHKLMNPRSTUVWXYZ", k=8)), fill="black", font=font)
    picture.save(file)
    return file


@pytest.fixture
def folder(tmp_path: Path, logo: bytes, save_reveal: SaveReveal) -> Path:
    """Reveals, a logo and everything that must be refused, in the order of their names."""
    picture = Image.new("RGB", (20, 20))
    save_reveal("NEBL", "a_reveal.jpg")
    (tmp_path / "b_logo.png").write_bytes(logo)
    picture.save(tmp_path / "c.gif", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")])
    (tmp_path / "d.svg").write_text("<svg/>")
    (tmp_path / "e_cut.jpg").write_bytes((tmp_path / "a_reveal.jpg").read_bytes()[:3000])
    (tmp_path / "f_empty.jpg").touch()
    (tmp_path / "g_large.jpg").write_bytes(bytes(300_000))
    Image.new("1", (5000, 5000)).save(tmp_path / "h_bomb.png")
    (tmp_path / "i_folder.jpg").mkdir()
    save_reveal("VIBE", "j_reveal.jpg", looks_seed=4, target_index=0)
    return tmp_path


@has_proc
def test_what_cannot_be_read_is_refused_with_a_reason_and_the_rest_goes_on_in_one_process(
    folder: Path, known_symbols: frozenset[str]
) -> None:
    limits = Limits(file_bytes=200_000, pixels=10_000_000)
    workers: set[int] = set()
    read: dict[str, ImageReading] = {}
    for one in read_images(sorted(folder.iterdir()), known_symbols, limits):
        read[one.file.name] = one
        workers.update(worker_ids())
    assert [(name, one.symbol) for name, one in read.items() if one.status == "reveal"] == [
        ("a_reveal.jpg", "NEBL"),
        ("j_reveal.jpg", "VIBE"),
    ]
    assert (read["b_logo.png"].status, read["b_logo.png"].symbol) == ("none", None)
    assert {"NEBL", "BTC"} <= set(read["a_reveal.jpg"].texts)
    refused = {name: one.reason or "" for name, one in read.items() if one.status == "refused"}
    wanted = {"c.gif": "no JPEG", "d.svg": "no JPEG", "e_cut.jpg": "broken", "f_empty.jpg": "empty", "g_large.jpg": "300000 bytes"}
    wanted |= {"h_bomb.png": "5000 x 5000", "i_folder.jpg": "no such file"}
    assert refused.keys() == wanted.keys()
    assert all(reason in refused[name] for name, reason in wanted.items())
    assert len(workers) == 1
    assert not worker_ids()


@has_proc
def test_the_reading_process_has_no_secrets_can_open_and_write_nothing_and_is_replaced_when_it_died(
    save_reveal: SaveReveal, known_symbols: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PND_OPENAI_API_KEY", "a secret")
    readings = read_images([save_reveal("NEBL", "1.jpg"), save_reveal("VIBE", "2.jpg")], known_symbols)
    assert next(readings).symbol == "NEBL"
    (worker,) = worker_ids()
    environment = Path(f"/proc/{worker}/environ").read_text()
    limits = {
        line[:25].strip(): line[25:].split()[:2] for line in Path(f"/proc/{worker}/limits").read_text().splitlines()[1:] if line.strip()
    }
    opened = {int(link.name) for link in Path(f"/proc/{worker}/fd").iterdir()}
    os.kill(worker, signal.SIGKILL)
    # Dead is it when its other threads are, too.
    while " Z " not in Path(f"/proc/{worker}/stat").read_text() or len([*Path(f"/proc/{worker}/task").iterdir()]) > 1:
        time.sleep(0.01)
    assert next(readings).symbol == "VIBE"
    readings.close()
    assert "secret" not in environment
    assert "PND_" not in environment
    assert limits["Max address space"] == [str(Limits().memory_bytes)] * 2
    assert limits["Max core file size"] == limits["Max file size"] == ["0", "0"]
    most = int(limits["Max open files"][1])
    assert set(range(most)) <= opened  # every number that it may give to a file or socket is taken
    assert limits["Max cpu time"][0] != "unlimited"


@has_proc
def test_a_picture_that_takes_too_long_is_refused_and_the_next_is_read_by_a_new_process(tmp_path: Path, logo: bytes) -> None:
    (tmp_path / "logo.png").write_bytes(logo)
    first, second = read_images([page(tmp_path / "page.png"), tmp_path / "logo.png"], frozenset(), Limits(seconds=1))
    assert first.status == "refused"
    assert first.reason
    assert first.reason.startswith("took ")
    assert second.status == "none"


def test_nothing_is_started_for_files_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    (one,) = read_images([tmp_path / "none.jpg"], frozenset())
    assert (one.status, one.sha256, one.reason) == ("refused", None, "no such file")


def test_too_little_memory_for_the_models_is_an_error_of_one_line(save_reveal: SaveReveal) -> None:
    with pytest.raises(SourceError, match="reader of pictures cannot start") as raised:
        next(read_images([save_reveal("NEBL")], frozenset(), Limits(memory_bytes=200 << 20)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "link.jpg", "none.jpg", "a\0b.jpg", "", "x" * 5000])
def test_names_that_lead_out_of_the_folder_are_no_files(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").touch()
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (inner / "own.jpg").touch()
    assert inside(inner, name) is None
    assert inside(inner, "own.jpg") == (inner / "own.jpg").resolve()


@pytest.mark.shared
def test_real_reveals_and_logos_are_told_apart(shared_data: Path) -> None:
    from pnd_dagster.events.symbols import load_known_symbols

    folder = shared_data / "images"
    reveals, logos = (sorted((folder / name).iterdir())[::20] for name in ("reveals", "logos_negative"))
    statuses = [one.status for one in read_images([*reveals, *logos], load_known_symbols())]
    assert statuses == ["reveal"] * len(reveals) + ["none"] * len(logos)
