"""Links to channels as people write them."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pnd_dagster import tables
from pnd_dagster.errors import SourceError
from pnd_dagster.telegram.links import find_channel_links, link_id, parse_channel_link, read_link_list

NOW = datetime(2025, 3, 1, tzinfo=UTC)
INVITE = "AbCdEfGhIjKlMnOp-_12"


@pytest.mark.parametrize(
    "text",
    [
        "https://t.me/Moon_Calls",
        "http://t.me/Moon_Calls/",
        "t.me/Moon_Calls",
        "  https://www.t.me/Moon_Calls  ",
        "https://T.me/Moon_Calls",
        "https://telegram.me/Moon_Calls",
        "telegram.dog/Moon_Calls",
        "https://t.me/s/Moon_Calls",
        "https://t.me/Moon_Calls/4711",
        "https://t.me/Moon_Calls?before=12",
        "@Moon_Calls",
        "tg://resolve?domain=Moon_Calls",
        "https://tgstat.com/channel/@Moon_Calls",
        "https://tgstat.ru/channel/@Moon_Calls/stat",
        "https://in.tgstat.com/en/chat/@Moon_Calls",
    ],
)
def test_all_forms_of_a_public_channel_are_one_link(text: str) -> None:
    link = parse_channel_link(text)
    assert (link.link, link.username) == ("https://t.me/Moon_Calls", "Moon_Calls")
    assert link_id(link) == link_id(parse_channel_link("@moon_calls"))


@pytest.mark.parametrize(
    "text", [f"https://t.me/joinchat/{INVITE}", f"t.me/+{INVITE}", f"tg://join?invite={INVITE}", f"https://tgstat.com/channel/{INVITE}"]
)
def test_all_forms_of_an_invitation_are_one_link(text: str) -> None:
    assert parse_channel_link(text).link == f"https://t.me/+{INVITE}"


def test_invitations_differ_by_case_and_names_do_not() -> None:
    assert parse_channel_link(f"t.me/+{INVITE}").key != parse_channel_link(f"t.me/+{INVITE.lower()}").key
    assert parse_channel_link("t.me/Moon_Calls").key == parse_channel_link("t.me/moon_calls").key


def test_a_private_channels_link_holds_its_id() -> None:
    link = parse_channel_link("https://t.me/c/1234567890/55")
    assert link_id(link) == link.channel_id == 1_234_567_890


def test_a_name_can_stand_in_the_host() -> None:
    assert parse_channel_link("https://mooncalls.t.me/12").username == "mooncalls"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("two words", "not one link"),
        ("mooncalls", "not a link to a channel"),
        ("https://example.org/Moon_Calls", "example.org"),
        ("https://t.me.example.org/Moon_Calls", "neither"),
        ("https://t.me/", "no channel"),
        ("https://t.me/share/url?url=x", "leads to no channel"),
        ("https://t.me/addstickers/Moons", "leads to no channel"),
        ("https://t.me/joinchat", "leads to no channel"),
        ("https://t.me/+491511234567", "telephone"),
        ("https://t.me/Moon_Calls_bot", "bot"),
        ("@ab", "no public name"),
        ("@1moon", "no public name"),
        ("t.me/+short", "no invitation"),
        ("tg://settings", "no channel"),
        ("https://tgstat.com/ratings/channels", "no channel page"),
        ("javascript:alert(1)", "not"),
        ("ftp://t.me/Moon_Calls", "scheme"),
        ("https://[t.me/Moon_Calls", "not a link"),
        ("https://t.me/" + "x" * 400, "not one link"),
        ("https://t.me/moon\x00calls", "not one link"),
    ],
)
def test_what_is_no_channel_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_channel_link(text)


@given(st.text(max_size=60) | st.from_regex(r"(https?://)?(t\.me|tgstat\.com)/[ -~]{0,40}", fullmatch=True))
def test_any_text_is_either_a_link_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        link = parse_channel_link(text)
        assert parse_channel_link(link.link) == link


def test_link_ids_are_negative_and_stay_the_same() -> None:
    # The id as it was first given: rows in databases depend on it.
    assert link_id(parse_channel_link("@moon_calls")) == -5_347_394_082_120_949_858
    assert len({link_id(parse_channel_link(f"@channel_{number}")) for number in range(2_000)}) == 2_000
    assert all(-(2**63) <= link_id(parse_channel_link(f"@channel_{number}")) < 0 for number in range(100))


def test_links_and_mentions_are_found_in_text() -> None:
    text = (
        "Join https://t.me/Moon_Calls, (t.me/joinchat/" + INVITE + ") or @moon_calls and @Sun_Calls! Not mail@example.org, not @x, not "
        "https://example.org/t.me/Nope_Nope, not https://t.me/share/url?url=x, not @helper_bot, not user@host.example. tg://resolve?domain=Tg_Calls"
    )
    found = find_channel_links(text)
    assert [(link.username or "invite", link.is_mention) for link in found] == [
        ("Moon_Calls", False),
        ("invite", False),
        ("Sun_Calls", True),
        ("Tg_Calls", False),
    ]


def test_a_link_counts_more_than_an_earlier_mention_of_the_same_channel() -> None:
    assert [link.is_mention for link in find_channel_links("@moon_calls is at t.me/moon_calls")] == [False]


def test_a_huge_text_is_searched_in_no_time() -> None:
    assert len(find_channel_links("@" * 50_000 + " t.me/" * 10_000 + " @moon_calls")) == 1


def test_a_text_list_becomes_candidates_and_its_bad_lines_dead_letters(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    path.write_bytes(
        b"\xef\xbb\xbf# my channels\nhttps://t.me/Moon_Calls\n\nt.me/moon_calls\n@Sun_Calls the second one\nhttps://example.org/x\n\xff\xfe\nt.me/+"
        + INVITE.encode()
        + b"\n"
    )
    channels, dead_letters = read_link_list(path, discovered_at=NOW)
    assert channels.equals(tables.conform(channels, tables.TELEGRAM_CHANNELS))
    assert channels["link"].to_list() == ["https://t.me/Moon_Calls", "https://t.me/Sun_Calls", f"https://t.me/+{INVITE}"]
    assert (channels["channel_id"] < 0).all()
    assert set(channels["status"]) == {"candidate"}
    assert set(channels["found_via"]) == {"link list"}
    assert dead_letters["location"].to_list() == ["line 6", "line 7"]
    assert "example.org" in dead_letters["reason"][0]
    assert dead_letters.equals(tables.conform(dead_letters, tables.DEAD_LETTERS))


@pytest.mark.parametrize(
    "table",
    [
        'title,link\nMoon,https://t.me/Moon_Calls\n,\n"a, b",nonsense\n',
        "Username;Title\nMoon_Calls;Moon\nnon sense;x\n",
        "rank\turl\n1\tt.me/Moon_Calls\n2\n",
    ],
)
def test_a_table_is_read_by_its_column_of_links(tmp_path: Path, table: str) -> None:
    path = tmp_path / "seeds.csv"
    path.write_text(table)
    channels, dead_letters = read_link_list(path, discovered_at=NOW)
    assert channels["username"].to_list() == ["Moon_Calls"]
    assert dead_letters.height == 1


def test_reading_a_list_twice_gives_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "seeds.txt"
    path.write_text("t.me/Moon_Calls\nbad\n")
    first, second = read_link_list(path, discovered_at=NOW), read_link_list(path, discovered_at=NOW)
    assert first.channels.equals(second.channels)
    assert first.dead_letters.equals(second.dead_letters)


def test_lists_that_cannot_be_read_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"missing\.txt"):
        read_link_list(tmp_path / "missing.txt", discovered_at=NOW)
    with pytest.raises(SourceError, match=tmp_path.name):
        read_link_list(tmp_path, discovered_at=NOW)
    (tmp_path / "x.csv").write_text("title,members\nMoon,5\n")
    with pytest.raises(SourceError, match="no column of links"):
        read_link_list(tmp_path / "x.csv", discovered_at=NOW)


def test_an_empty_list_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    channels, dead_letters = read_link_list(tmp_path / "empty.txt", discovered_at=NOW)
    assert channels.is_empty()
    assert dead_letters.is_empty()


@pytest.mark.shared
def test_the_real_lists_of_channels_are_read_without_a_loss(shared_data: Path) -> None:
    for name, count in (("uzh_seed_channels.txt", 43), ("uzh_discovered_channels.txt", 18)):
        channels, dead_letters = read_link_list(shared_data / "resources" / name, discovered_at=NOW)
        assert dead_letters.is_empty()
        assert channels.height == count
