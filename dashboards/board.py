"""What a page is made of: components that stand still, and a function that fills them from the marts.

Vizro gives the frame (pages, navigation, both themes). Its own filters decide on the type of their column when the server starts,
which an empty warehouse cannot tell, so ours are plain Dash components whose values are bound in the SQL.
"""

# Vizro declares its defaults where pyright does not look for them.
# pyright: reportCallIssue=false

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import plotly.graph_objects as go
import plotly.io as pio
import vizro.models as vm
from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from pydantic import SkipValidation

from dashboards.marts import Marts
from dashboards.text import data
from pnd_dagster.errors import PndError

LOG = logging.getLogger(__name__)
RETRY_SECONDS = 5
WARN_SECONDS = 600
_TOLD: dict[str, float] = {}


class Block(vm.VizroBaseModel):
    """A Dash component as a part of a Vizro page."""

    type: Literal["block"] = "block"
    content: SkipValidation[Any]

    def build(self) -> Component:
        """The component itself."""
        return self.content


vm.Page.add_type("components", Block)
vm.Page.add_type("controls", Block)


@dataclass(frozen=True)
class Board:
    """A page.

    Args:
        name: id and path of the page.
        title: title in navigation and heading.
        body: components, without data.
        outputs: what `fill` returns, by name.
        fill: reads the marts, given the values of `inputs` by name, and returns values for all or some of `outputs`. The key `notice`
            says what is missing and what to run.
        inputs: properties of `body` and `controls` that `fill` depends on; of a State the page's opening takes the value.
        controls: components of the panel on the left.
        script: a JavaScript function of the values of `script_inputs`, which runs in the browser whenever one of them changes.
        script_inputs: those, in the order of its arguments.
        seconds: how often the page asks again; None: only while it could not be filled.
    """

    name: str
    title: str
    body: list[Component]
    outputs: dict[str, Output]
    fill: Callable[..., dict[str, Any]]
    inputs: dict[str, Input | State] = field(default_factory=dict)
    controls: list[Component] = field(default_factory=list)
    script: str = ""
    script_inputs: list[Input | State] = field(default_factory=list)
    seconds: int | None = None

    def page(self) -> vm.Page:
        """The Vizro page, with a line for notices and the clock that asks again."""
        notice = html.Div(id=f"{self.name}-notice", className="pnd-notice", role="status")
        silence = html.Div(className="pnd-notice", role="status", **data("silent-after", str(3 * self.seconds) if self.seconds else ""))
        answered = html.Span(id=f"{self.name}-answered", hidden=True)
        tick = dcc.Interval(id=f"{self.name}-tick", interval=1000 * (self.seconds or RETRY_SECONDS), disabled=self.seconds is None)
        return vm.Page(
            id=self.name,
            title=self.title,
            path=f"/{self.name}",
            layout=vm.Flex(gap="16px"),
            components=[Block(content=html.Div([notice, silence, answered, tick, *self.body], className="pnd-board"))],
            controls=[Block(content=control) for control in self.controls],
            actions=[],
        )

    def connect(self, app: Dash, marts: Marts) -> None:
        """Registers the callback that fills the page: at its opening, on every control, on every tick."""
        if self.script:
            app.clientside_callback(self.script, *self.script_inputs)
        outputs = {f"shown_{name}": output for name, output in self.outputs.items()}
        frame = {
            "notice": Output(f"{self.name}-notice", "children"),
            "is_idle": Output(f"{self.name}-tick", "disabled"),
            "answered": Output(f"{self.name}-answered", "children"),
        }

        @app.callback(
            output=frame | outputs,
            inputs={"is_light": Input("theme-selector", "data"), "_ticks": Input(f"{self.name}-tick", "n_intervals")} | self.inputs,
            # The clock stands still meanwhile: questions to a slow database would pile up.
            running=[(Output(f"{self.name}-tick", "max_intervals"), 0, -1)],
        )
        def show(is_light: bool | None, _ticks: int | None, **values: Any) -> dict[str, Any]:
            notice, shown = self.filled(marts, values)
            template = pio.templates["vizro_light" if is_light else "vizro_dark"]
            for value in shown.values():
                if isinstance(value, go.Figure):
                    value.update_layout(template=template)
            answer: dict[str, Any] = {f"shown_{name}": shown.get(name, no_update) for name in self.outputs}
            is_idle = self.seconds is None and notice is None
            return answer | {"notice": _marked(notice), "is_idle": is_idle, "answered": datetime.now(UTC).isoformat()}

    def filled(self, marts: Marts, values: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """A notice if there is one, and what to show; nothing where the marts cannot be read, so that a page keeps what it has."""
        try:
            shown = self.fill(marts, **values)
            return shown.pop("notice", None), shown
        except PndError as error:
            _warn_once(str(error))
            return f"{error} Tried last at {datetime.now(UTC):%H:%M:%S} UTC; what is shown may be older.", {}
        except Exception:
            LOG.exception("%s could not be filled", self.name)
            return "This page could not be filled; the log of `pnd dashboard` says why.", {}


def _warn_once(text: str) -> None:
    """Logs what is wrong, but not at every tick of every page."""
    if text not in _TOLD or time.monotonic() - _TOLD[text] > WARN_SECONDS:
        _TOLD[text] = time.monotonic()
        LOG.warning("%s", text)


def _marked(notice: str | None) -> list[Any] | None:
    """A notice, with what stands between backticks as code."""
    if notice is None:
        return None
    return [html.Code(part) if index % 2 else part for index, part in enumerate(notice.split("`"))]
