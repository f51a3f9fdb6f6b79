"""Metric series as small multiples: the curve, what was usual, the window, and the onsets, true and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rcabench.core.time import TimeWindow, from_micros, intersections, to_micros
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.axis import Axis, round_ticks, time_ticks
from rcabench.reporting.pages.document import cut
from rcabench.reporting.pages.markup import Child, Html, join, tag
from rcabench.reporting.pages.scene import Scene
from rcabench.reporting.pages.series import MOVED, Series

_WIDTH, _HEIGHT = 360.0, 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 354.0, 10.0, 128.0
_FEW_POINTS = 60
_GAP = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldOnset:
    """An onset that a diagnoser named."""

    diagnoser: str
    moment: datetime


def curves(chosen: Sequence[Series], scene: Scene, told: Sequence[ToldOnset]) -> Html:
    """Return the key and one drawing per series."""
    drawings = (_figure(series, scene, told) for series in chosen)
    return join(_key(scene, told), tag("div", *drawings, class_="curves"))


def _key(scene: Scene, told: Sequence[ToldOnset]) -> Html:
    def item(swatch: str, text: str) -> Html:
        return tag("li", tag("span", class_=f"swatch {swatch}"), text)

    inside = [onset for onset in told if onset.moment in scene.drawn]
    names = figures.listed([f"{o.diagnoser} ({figures.clock(o.moment)})" for o in inside[:6]])
    more = f" and {len(inside) - 6} more" if len(inside) > 6 else ""
    onset = scene.onset
    return tag("ul",
        item("line true", f"true onset {figures.clock(onset)}") if onset else tag("li", _without_onset(scene)),
        item("line predicted", f"onset told by {names}{more}") if inside else None,
        item("window", f"incident window {figures.clock(scene.case.incident.window.start)}–"
                       f"{figures.clock(scene.case.incident.window.end)}"),
        item("calm", "baseline") if intersections(scene.long_baseline, (scene.drawn,)) else None,
        item("usual", "middle half of the baseline's values"),
        item("line middle", "their median"),
        class_="key", aria_label="Key to the curves",
    )  # fmt: skip


def _without_onset(scene: Scene) -> str:
    return "nothing was wrong" if scene.case.truth.healthy else "the true onset is unknown"


def _figure(series: Series, scene: Scene, told: Sequence[ToldOnset]) -> Html:
    caption = tag("figcaption",
        tag("span", cut(series.metric), class_="name"),
        tag("span", _change(series), class_="change"),
        tag("span", cut(series.where), class_="where"),
        tag("span", tag("span", "root cause", class_="badge truth"), class_="change") if series.blamed else None,
    )  # fmt: skip
    return tag("figure", caption, _drawing(series, scene, told))


def _change(series: Series) -> str:
    if series.before is None or series.after is None:
        return figures.ABSENT
    before, after = (figures.Measure.of(value, series.unit) for value in (series.before, series.after))
    told = before.write(series.before) if before != after else figures.plain(series.before / before.divisor)
    return f"{series.statistic} {told} → {after.write(series.after)}"


def _drawing(series: Series, scene: Scene, told: Sequence[ToldOnset]) -> Html:
    values = [value for _, value in series.points]
    low, high = min(*values, *(series.usual or values)), max(*values, *(series.usual or values))
    # What did not move is drawn from zero, so that its noise looks like noise.
    if low > 0.0 and (low < 0.75 * high or series.score < MOVED):
        low = 0.0
    measure = figures.Measure.of(max(abs(low), abs(high)), series.unit)
    # Round in the unit that is shown: 300 MiB is a tick, 300,000,000 bytes are not.
    ticks = [tick * measure.divisor for tick in round_ticks(low / measure.divisor, high / measure.divisor)]
    y = Axis(low=ticks[0], high=ticks[-1], start=_BOTTOM, end=_TOP)
    x = Axis(low=to_micros(scene.drawn.start), high=to_micros(scene.drawn.end), start=_LEFT, end=_RIGHT)
    title = f"{series.metric} of {series.where}, {figures.stretch(scene.drawn)}: {_change(series)}"
    return tag("svg",
        tag("title", title),
        _shades(series, scene, x, y),
        _value_axis(ticks, y, measure),
        _time_axis(scene.drawn, x),
        _curve(series, x, y),
        _onsets(scene, told, x),
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}", width="100%", role="img", aria_label=title,
    )  # fmt: skip


def _shades(series: Series, scene: Scene, x: Axis, y: Axis) -> Html:
    def stretch(window: TimeWindow, kind: str) -> Html:
        start, end = x.clamped(to_micros(window.start)), x.clamped(to_micros(window.end))
        return tag("rect", x=start, y=_TOP, width=end - start, height=_BOTTOM - _TOP, class_=kind)

    calm = intersections(scene.long_baseline, (scene.drawn,))
    shades: list[Child] = [stretch(window, "reference") for window in calm]
    shades.append(stretch(scene.case.incident.window, "window"))
    if series.usual is not None and series.middle is not None:
        low, high = y.clamped(series.usual[0]), y.clamped(series.usual[1])
        height = max(1.5, low - high)
        shades.append(tag("rect", x=_LEFT, y=high, width=_RIGHT - _LEFT, height=height, class_="usual"))
        middle = y.clamped(series.middle)
        shades.append(tag("line", x1=_LEFT, x2=_RIGHT, y1=middle, y2=middle, class_="median"))
    return join(*shades)


def _value_axis(ticks: Sequence[float], y: Axis, measure: figures.Measure) -> Html:
    shown = ticks if len(ticks) <= 4 else ticks[:: -(-(len(ticks) - 1) // 3)]
    parts: list[Child] = []
    for tick in shown:
        at = y.at(tick)
        parts.append(tag("line", x1=_LEFT, x2=_RIGHT, y1=at, y2=at, class_="grid"))
        text = figures.plain(tick / measure.divisor)
        parts.append(tag("text", text, x=_LEFT - 5, y=at + 3.5, text_anchor="end"))
    if measure.label:
        # In the lower left corner, beside the time axis, a unit never meets a tick's label.
        parts.append(tag("text", measure.label, x=_LEFT - 5, y=_BOTTOM + 15, text_anchor="end"))
    return join(*parts)


def _time_axis(window: TimeWindow, x: Axis) -> Html:
    ticks = time_ticks(window, 5)
    seconds = any(tick.second for tick in ticks)
    parts: list[Child] = [tag("line", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="base")]
    for tick in ticks:
        at = x.at(to_micros(tick))
        text = f"{tick:%H:%M:%S}" if seconds else f"{tick:%H:%M}"
        anchor = "end" if at > _RIGHT - 14 else "start" if at < _LEFT + 12 else "middle"
        parts.append(tag("line", x1=at, x2=at, y1=_BOTTOM, y2=_BOTTOM + 4, class_="base"))
        parts.append(tag("text", text, x=at, y=_BOTTOM + 15, text_anchor=anchor))
    return join(*parts)


def _curve(series: Series, x: Axis, y: Axis) -> Html:
    steps = sorted(b[0] - a[0] for a, b in zip(series.points, series.points[1:], strict=False))
    longest = _GAP * steps[len(steps) // 2] if steps else 0.0
    path, last = [], None
    for moment, value in series.points:
        joined = last is not None and moment - last <= longest
        path.append(f"{'L' if joined else 'M'}{x.clamped(moment):.1f} {y.clamped(value):.1f}")
        last = moment
    dots: list[Child] = []
    if len(series.points) <= _FEW_POINTS:
        measure = figures.Measure.of(max(abs(value) for _, value in series.points), series.unit)
        dots = [_dot(moment, value, measure, x, y) for moment, value in series.points]
    return join(tag("path", d="".join(path), class_="curve"), dots)


def _dot(micros: int, value: float, measure: figures.Measure, x: Axis, y: Axis) -> Html:
    words = f"{figures.clock(from_micros(micros))}: {measure.write(value)}"
    return tag("circle", tag("title", words), cx=x.clamped(micros), cy=y.clamped(value), r=1.8, class_="point")


def _onsets(scene: Scene, told: Sequence[ToldOnset], x: Axis) -> Html:
    marks: list[Child] = []
    for onset in told:
        if onset.moment in scene.drawn:
            at = x.at(to_micros(onset.moment))
            words = f"{onset.diagnoser}: {figures.instant(onset.moment)}"
            marks.append(tag("line", tag("title", words), x1=at, x2=at, y1=_TOP, y2=_BOTTOM, class_="guess"))
    if scene.onset is not None and scene.onset in scene.drawn:
        at = x.at(to_micros(scene.onset))
        words = f"true onset: {figures.instant(scene.onset)}"
        marks.append(tag("line", tag("title", words), x1=at, x2=at, y1=_TOP - 6, y2=_BOTTOM, class_="onset"))
    return join(*marks)
