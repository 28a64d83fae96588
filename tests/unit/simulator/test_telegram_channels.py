"""The simulated channels: believable, the same for the same seed, and true to their own ground truth."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from pnd_dagster.simulator.markets import VENUES
from pnd_dagster.simulator.reveals import Reveal, draw
from pnd_dagster.simulator.telegram_channels import MESSAGE_SCHEMA, VOICES, Simulation, simulate_channels, write_simulation
from pnd_dagster.venues import venue_by_alias, venue_by_id

END_AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
LOOK_ALIKES = str.maketrans("АЕОРСТКМХ", "AEOPCTKMX")


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate_channels(seed=3, end_at=END_AT)


def folded(text: str) -> str:
    """Letters and digits only, disguises removed."""
    squares = "".join(chr(ord("A") + ord(letter) - 0x1F170) if 0x1F170 <= ord(letter) <= 0x1F189 else letter for letter in text)
    return "".join(letter for letter in unicodedata.normalize("NFKC", squares).translate(LOOK_ALIKES).upper() if letter.isalnum())


def test_the_same_seed_gives_the_same_channels_and_another_seed_others(simulation: Simulation) -> None:
    again = simulate_channels(seed=3, end_at=END_AT.astimezone(timezone(timedelta(hours=9))))
    assert again.messages.equals(simulation.messages)
    assert again.events.equals(simulation.events)
    assert again.reveals == simulation.reveals
    assert not simulate_channels(seed=4, end_at=END_AT).messages.equals(simulation.messages)


@pytest.mark.parametrize("seed", range(5))
def test_sixty_days_of_twelve_channels_hold_a_demos_worth(seed: int) -> None:
    messages, events, channels, reveals = simulate_channels(seed=seed, end_at=END_AT)
    assert messages.schema == MESSAGE_SCHEMA
    assert 2_500 <= messages.height <= 4_000
    assert 25 <= events.height <= 40
    assert set(events["outcome"]) == {"released", "cancelled", "postponed-and-released"}
    assert events["is_image_reveal"].any()
    assert reveals
    assert set(messages["channel_id"]) == set(channels["channel_id"])
    assert messages["date"].max() <= END_AT
    assert messages["date"].min() >= END_AT - timedelta(days=60)
    assert (messages["edit_date"].drop_nulls() <= END_AT).all()


def test_message_ids_are_unique_and_rise_with_time(simulation: Simulation) -> None:
    messages = simulation.messages
    assert messages.select("channel_id", "message_id").is_unique().all()
    assert (
        messages.sort("channel_id", "message_id")
        .select("channel_id", "date")
        .equals(messages.sort("channel_id", "date").select("channel_id", "date"))
    )


def test_every_released_coin_is_named_by_every_channel_of_the_pump(simulation: Simulation) -> None:
    for event in simulation.events.filter(pl.col("released_at").is_not_null()).iter_rows(named=True):
        for channel_id in event["channel_ids"]:
            posts = simulation.messages.filter(
                pl.col("channel_id") == channel_id,
                pl.col("date").is_between(event["released_at"], event["released_at"] + timedelta(seconds=60)),
            )
            if event["is_image_reveal"]:
                pictures = posts["image_file"].drop_nulls()
                assert [simulation.reveals[name].target for name in pictures] == [event["symbol"]]
            else:
                assert any(event["symbol"] in folded(text) for text in posts["text"]), (event, posts["text"].to_list())


def test_cancelled_pumps_are_never_released_and_postponed_ones_move(simulation: Simulation) -> None:
    events = simulation.events
    assert (events["released_at"].is_null() == (events["outcome"] == "cancelled")).all()
    moved = events["scheduled_at"] > events["first_scheduled_at"]
    assert (moved == (events["outcome"] == "postponed-and-released")).all()
    assert (events["announced_at"] < events["first_scheduled_at"]).all()


def test_pumps_are_announced_when_the_truth_says(simulation: Simulation) -> None:
    leaders = simulation.events.select(pl.col("channel_ids").list.first().alias("channel_id"), pl.col("announced_at").alias("date"))
    assert leaders.join(simulation.messages, on=["channel_id", "date"], how="anti").is_empty()


def test_forwards_and_replies_point_to_messages_that_exist(simulation: Simulation) -> None:
    messages = simulation.messages
    keys = messages.select("channel_id", "message_id")
    inside = messages.filter(pl.col("fwd_channel_id").is_in(keys["channel_id"].unique().implode()))
    assert inside.height > 50
    assert inside.join(keys, left_on=["fwd_channel_id", "fwd_channel_post"], right_on=["channel_id", "message_id"], how="anti").is_empty()
    replies = messages.filter(pl.col("reply_to_msg_id").is_not_null())
    assert replies.height > 20
    assert replies.join(keys, left_on=["channel_id", "reply_to_msg_id"], right_on=["channel_id", "message_id"], how="anti").is_empty()


def test_the_archive_holds_what_real_channels_hold_beside_pumps(simulation: Simulation) -> None:
    messages = simulation.messages
    text = messages["text"]
    assert messages.filter(pl.col("kind") == "MessageService").height >= 12
    assert messages.filter(pl.col("media_type").is_not_null(), pl.col("text") == "").height > 50
    assert messages["edit_date"].is_not_null().sum() > 50
    assert messages["posted_by_user"].fill_null(value=False).sum() > 100
    assert text.str.contains("ignore all previous instructions").any()
    assert text.str.contains("DROP TABLE").any()
    assert text.str.contains("Stop-loss").any()
    assert text.str.len_chars().max() > 10_000


def test_no_two_channels_share_a_template() -> None:
    fields = ("announcements", "countdowns", "last_calls", "hype", "results", "delays_by", "delays_to", "cancellations", "own_noise")
    templates = [template for voice in VOICES for field in fields for template in getattr(voice, field) if template != "{left}"]
    assert len(templates) == len(set(templates))


def test_every_simulated_exchange_is_in_the_registry_under_the_same_id() -> None:
    for exchange, venue in VENUES.items():
        assert venue_by_id(exchange) is not None
        for spelling in venue.spellings:
            known = venue_by_alias(spelling)
            assert known is not None
            assert known.id == exchange


def test_the_files_hold_the_simulation(simulation: Simulation, tmp_path: Path) -> None:
    write_simulation(simulation, tmp_path / "demo")
    assert pl.read_parquet(tmp_path / "demo/archive.parquet").equals(simulation.messages)
    assert pl.read_parquet(tmp_path / "demo/truth.parquet").equals(simulation.events)
    pictures = {path.name for path in (tmp_path / "demo/images").iterdir()}
    assert pictures == set(simulation.messages["image_file"].drop_nulls())


@pytest.mark.parametrize("target_index", range(4))
def test_only_the_target_of_a_picture_is_red(target_index: int) -> None:
    picture = draw(Reveal(("ZORB", "KLIM", "VANTA", "OAX"), target_index, looks_seed=target_index))
    width, height = picture.size
    red = [_red_pixels(picture.crop((x, y, x + width // 2, y + height // 2))) for y in (0, height // 2) for x in (0, width // 2)]
    assert [count > 200 for count in red] == [index == target_index for index in range(4)]


def _red_pixels(image: Image.Image) -> int:
    raw = image.tobytes()
    return sum(raw[place] > 180 and raw[place + 1] < 90 and raw[place + 2] < 90 for place in range(0, len(raw), 3))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"end_at": datetime(2025, 6, 1)}, "time zone"),
        ({"end_at": END_AT, "channel_count": len(VOICES) + 1}, "channel_count"),
        ({"end_at": END_AT, "days": 0}, "days"),
    ],
)
def test_senseless_arguments_are_refused(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        simulate_channels(seed=1, **arguments)  # type: ignore[arg-type]


def test_one_channel_for_one_day_works() -> None:
    assert simulate_channels(seed=1, end_at=END_AT, days=1, channel_count=1).messages.height > 0
