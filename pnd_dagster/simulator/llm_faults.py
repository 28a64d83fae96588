"""What shall go wrong at the simulated language model: faults of the transport, of the API, and of the model's answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

# Of the API. A number: that status, with Retry-After from `value` ("2" seconds, "date:2" as a date, "ms:200" as retry-after-ms).
# quota: 429 insufficient_quota. slow: `value` seconds pass before the answer. dropped: the connection ends without an answer.
# cut: it ends in the middle of the body. html: a page with status 200.
ApiFault = Literal["400", "401", "403", "404", "408", "429", "500", "502", "503", "quota", "slow", "dropped", "cut", "html"]
# Of the answer. label: the label is `value` (JSON). reply: the content is `value`. obedient: it does what the message says.
AnswerFault = Literal[
    "truncated", "missing_field", "extra_field", "wrong_type", "label", "not_json", "fenced", "reply", "refusal", "content_filter",
    "null_content", "no_choices", "obedient",
]  # fmt: skip
# Of a batch: it fails its validation, its window ends with half of it done, or it never ends.
BatchFault = Literal["batch_failed", "batch_expired", "batch_stuck"]
# chat: single requests; line: requests inside a batch; files and batches: the calls that manage them.
Place = Literal["chat", "line", "files", "batches"]

# What an instructed model answers: the content itself, or what it says of label, exchange, base, quote, start and so on.
Obedience = Callable[[str], str | dict[str, Any] | None]

_API, _ANSWER, _BATCH = get_args(ApiFault), get_args(AnswerFault), get_args(BatchFault)
_KINDS: dict[str, tuple[str, ...]] = {
    "chat": _API + _ANSWER,
    # A line of a batch has no connection of its own to fail.
    "line": (*(kind for kind in _API if kind.isdigit()), *_ANSWER),
    "files": _API,
    "batches": _API + _BATCH,
}


class Fault(NamedTuple):
    """What goes wrong with one answer; `about` limits it to requests whose message holds that text."""

    kind: ApiFault | AnswerFault | BatchFault
    value: str = ""
    about: str = ""

    @property
    def is_of_api(self) -> bool:
        """Whether the request gets no answer of the model at all."""
        return self.kind in _API


class LlmFaults:
    """The faults to come, by place. Safe to use from another thread than the server's.

    Attributes:
        obey: while set, every answer is what this makes of the message: the worst model, one that any attack works on.
        taken: place and fault of every answer that went wrong.
    """

    def __init__(self) -> None:
        self.obey: Obedience | None = None
        self.taken: list[tuple[str, Fault]] = []
        self._due: dict[str, list[Fault]] = {place: [] for place in _KINDS}
        self._lock = threading.Lock()

    def inject(
        self, kind: ApiFault | AnswerFault | BatchFault, value: str = "", *, times: int = 1, about: str = "", on: Place = "chat"
    ) -> None:
        """The next `times` answers at `on` (about messages that hold `about`) go wrong so.

        Raises:
            ValueError: that place knows no such fault.
        """
        if kind not in _KINDS.get(on, ()):
            raise ValueError(f"{kind} on {on}: expected one of {', '.join(_KINDS.get(on, _KINDS))}")
        with self._lock:
            self._due[on].extend([Fault(kind, value, about)] * times)

    def next(self, place: Place, message: str = "") -> Fault | None:
        """Takes the first fault that is due for a request about `message`."""
        with self._lock:
            for at, fault in enumerate(self._due[place]):
                if fault.about in message:
                    self.taken.append((place, fault))
                    return self._due[place].pop(at)
        return None
