"""Labels by the vendor's batch interface: nothing is asked twice, lost or paid for unnoticed, whenever a run is cut off."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from pnd_dagster.errors import SourceError, TransientError
from pnd_dagster.messages.llm.asking import Tally
from pnd_dagster.messages.llm.batch import WAITING, _BatchRun
from pnd_dagster.messages.llm.budget import SpendLimitError, spent_on
from pnd_dagster.messages.llm.labeller import label_abstained, label_abstained_by_batch
from pnd_dagster.settings import Settings
from pnd_dagster.simulator.llm import LlmServer
from pnd_dagster.storage import count_rows, read_frame
from pnd_dagster.tables import DEAD_LETTERS, LLM_REPLIES, MESSAGE_LABELS

COUNTDOWN = "Only 10 minutes left until the pump, get ready!"
RELEASE = "The coin is: #QXZT"
DELAY = "The pump is postponed, more soon"


class CutOffError(Exception):
    """The run ends here, as by a crash."""


def run(engine: sa.Engine, settings: Settings, classifier: Any, **options: Any) -> Tally:
    return label_abstained_by_batch(engine, settings, classifier, poll_seconds=0.02, **options)


def labels(engine: sa.Engine) -> dict[int, int]:
    label = MESSAGE_LABELS.c
    statement = sa.select(label.message_id, label.label).where(label.labeller.like("llm:%"))
    return dict(read_frame(engine, statement).iter_rows())


def replies(engine: sa.Engine) -> list[dict[str, Any]]:
    return read_frame(engine, sa.select(LLM_REPLIES).order_by(LLM_REPLIES.c.message_id, LLM_REPLIES.c.attempt)).to_dicts()


def test_a_batch_labels_what_the_classifier_abstained_from_at_half_the_price(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN, RELEASE, DELAY, COUNTDOWN)
    states: list[str] = []
    tally = run(engine, llm_settings, classifier, on_wait=states.append)
    assert (tally.accepted, tally.replies, tally.unanswered) == (3, 3, 0)
    assert labels(engine) == {1: 1, 2: 2, 3: 4, 4: 1}
    rows = replies(engine)
    assert {row["status"] for row in rows} == {"accepted"}
    assert rows[0]["batch_id"].startswith("batch_")
    assert rows[0]["latency_seconds"] is None
    assert rows[0]["cost_usd"] == pytest.approx((rows[0]["prompt_tokens"] * 2.5 + rows[0]["completion_tokens"] * 10) / 2e6)
    assert tally.cost_usd == pytest.approx(spent_on(engine, datetime.now(UTC)))
    assert states
    assert all(request.batch_id for request in llm.asked())


def test_nothing_left_to_label_submits_nothing(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN)
    run(engine, llm_settings, classifier)
    assert run(engine, llm_settings, classifier) == Tally()
    assert len([request for request in llm.asked("/v1/batches") if request.method == "POST"]) == 1


def test_a_run_that_was_cut_off_while_waiting_is_taken_up_again(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN, RELEASE)

    def cut_off(state: str) -> None:
        raise CutOffError

    with pytest.raises(CutOffError):
        run(engine, llm_settings, classifier, on_wait=cut_off)
    assert labels(engine) == {}
    assert {row["problem"] for row in replies(engine)} == {WAITING}
    assert spent_on(engine, datetime.now(UTC)) > 0
    abstain(DELAY, first_id=3)
    # The limit is on what is under way, so the new message is not submitted.
    assert run(engine, llm_settings, classifier, limit=2).accepted == 2
    assert labels(engine) == {1: 1, 2: 2}
    assert run(engine, llm_settings, classifier).accepted == 1
    assert labels(engine) == {1: 1, 2: 2, 3: 4}
    assert len(llm.asked()) == 3


def test_a_run_that_was_cut_off_before_it_kept_the_answers_is_collected_once(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    abstain(COUNTDOWN, RELEASE)
    with monkeypatch.context() as patch:

        async def crash(*_: Any) -> None:
            raise CutOffError

        patch.setattr(_BatchRun, "_collect", crash)
        with pytest.raises(CutOffError):
            run(engine, llm_settings, classifier)
    # A newer message with the same text has come meanwhile: the answer is for it too.
    abstain(COUNTDOWN, first_id=3)
    assert run(engine, llm_settings, classifier).accepted == 2
    assert labels(engine) == {1: 1, 2: 2, 3: 1}
    assert len(llm.asked()) == 2
    assert run(engine, llm_settings, classifier) == Tally()


def test_what_an_expired_batch_left_goes_into_the_next(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(*(f"Only {number} minutes left until the pump" for number in range(1, 11)))
    fail_creation(llm, "batch_expired")
    first = run(engine, llm_settings, classifier)
    second = run(engine, llm_settings, classifier)
    assert first.accepted + second.accepted == 10
    assert len(labels(engine)) == 10
    assert len(llm.asked()) == 10


def test_a_batch_that_fails_as_a_whole_says_why_and_the_next_run_starts_anew(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN)
    fail_creation(llm, "batch_failed")
    with pytest.raises(SourceError, match="token_limit_exceeded"):
        run(engine, llm_settings, classifier)
    assert spent_on(engine, datetime.now(UTC)) == 0
    assert run(engine, llm_settings, classifier).accepted == 1


def test_lines_that_failed_are_submitted_again_and_refused_ones_go_to_the_rules(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN, RELEASE, DELAY)
    llm.faults.inject("500", on="line", about="QXZT")
    llm.faults.inject("400", on="line", about="postponed")
    tally = run(engine, llm_settings, classifier)
    assert (tally.accepted, tally.fallen_back, tally.unanswered) == (1, 1, 1)
    assert labels(engine) == {1: 1, 3: 5}
    assert run(engine, llm_settings, classifier).accepted == 1
    assert labels(engine) == {1: 1, 2: 2, 3: 5}


def test_a_reply_that_does_not_fit_is_repaired_by_a_single_request(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN, RELEASE)
    llm.faults.inject("label", "8", on="line", about="QXZT")
    tally = run(engine, llm_settings, classifier)
    assert (tally.accepted, tally.replies) == (2, 3)
    assert [(row["attempt"], row["status"]) for row in replies(engine)] == [(0, "accepted"), (0, "invalid"), (1, "accepted")]
    single = [request for request in llm.asked() if request.batch_id is None]
    assert [json.loads(request.body["messages"][1]["content"])["problem"] for request in single] == ["label does not fit the schema"]


def test_a_batch_whose_creation_got_no_answer_is_not_made_twice(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN)
    create, is_first = llm.batches.create, True

    def lose_the_first_answer(body: Any, fault: Any = None) -> Any:
        nonlocal is_first
        made = create(body, fault)
        if is_first:
            is_first = False
            return made._replace(status=502)
        return made

    llm.batches.create = lose_the_first_answer  # type: ignore[method-assign]
    assert run(engine, llm_settings, classifier).accepted == 1
    assert len([request for request in llm.asked("/v1/batches") if request.method == "POST"]) == 1


def test_a_batch_takes_only_what_the_day_can_pay(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(*(f"Only {number} minutes left until the pump" for number in range(1, 31)))
    limited = llm_settings.model_copy(update={"openai_usd_per_day": 0.01})
    with pytest.raises(SpendLimitError):
        run(engine, limited, classifier)
    done = labels(engine)
    assert 5 <= len(done) < 30
    assert spent_on(engine, datetime.now(UTC)) <= 0.01
    assert len([request for request in llm.asked("/v1/batches") if request.method == "POST"]) > 1


def test_a_pending_batch_counts_towards_the_limit_of_single_requests(
    engine: sa.Engine, llm_settings: Settings, classifier: Any, abstain: Any
) -> None:
    abstain(*(f"Only {number} minutes left until the pump" for number in range(1, 11)))

    def cut_off(state: str) -> None:
        raise CutOffError

    with pytest.raises(CutOffError):
        run(engine, llm_settings, classifier, on_wait=cut_off)
    limited = llm_settings.model_copy(update={"openai_usd_per_day": spent_on(engine, datetime.now(UTC))})
    with pytest.raises(SpendLimitError):
        label_abstained(engine, limited, classifier)


def test_lines_that_cannot_be_read_become_dead_letters_and_the_rest_goes_on(
    engine: sa.Engine, llm_settings: Settings, llm: LlmServer, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN)
    content = llm.batches.content

    def spoil(file_id: str) -> bytes | None:
        return (content(file_id) or b"") + b'{"custom_id": 7}\nnot json\n{"custom_id": "label/1/2/x", "response": null}\n'

    llm.batches.content = spoil  # type: ignore[method-assign]
    assert run(engine, llm_settings, classifier).accepted == 1
    assert count_rows(engine, DEAD_LETTERS) == 3


def test_a_second_run_beside_one_that_waits_leaves_the_batch_to_it(
    engine: sa.Engine, llm_settings: Settings, classifier: Any, abstain: Any
) -> None:
    abstain(COUNTDOWN)
    refused: list[str] = []

    def meanwhile(state: str) -> None:
        with pytest.raises(TransientError) as caught:
            run_in_thread(lambda: run(engine, llm_settings, classifier))
        refused.append(str(caught.value))

    assert run(engine, llm_settings, classifier, on_wait=meanwhile).accepted == 1
    assert "another run" in refused[0]


def run_in_thread(call: Any) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def fail_creation(llm: LlmServer, fault: Any) -> None:
    """The next batch that is created has the fault, whatever is asked of the batches before."""
    create = llm.batches.create

    def faulty(body: Any, _fault: Any = None) -> Any:
        llm.batches.create = create  # type: ignore[method-assign]
        return create(body, fault)

    llm.batches.create = faulty  # type: ignore[method-assign]
