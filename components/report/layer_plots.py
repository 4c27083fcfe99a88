"""Plots with one mark a layer, from the first layer to the last."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tfx_tflite.components.quantization.document import Layer
from tfx_tflite.components.report.wording import clip, counted, number, size

# So many numbers of layers fit below a plot on a phone; from one to the next it is one of these.
_MOST_TICKS = 10
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Tick:
    """A layer's number below a plot.

    Attributes:
        layer: The number, as the table has it.
        place: Where its mark is, in per cent of the plot's width.
    """

    layer: int
    place: float


@dataclass(frozen=True)
class Strip:
    """A plot with one mark a layer.

    Attributes:
        title: What it shows.
        path: The marks as an SVG path, 100 high and 10 wide a layer; the layers are many and the
            paths short.
        kind: `bars`, or `dots`: lines of no length, which a round stroke makes dots of.
        width: In the path's units.
        top: The highest figure, as text.
        bottom: What the lower edge stands for, as text.
        label: The plot in words.
        ticks: The numbers of some layers.
    """

    title: str
    path: str
    kind: Literal["bars", "dots"]
    width: int
    top: str
    bottom: str
    label: str
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class _DotPlot:
    """A plot with a dot for each layer that has a figure.

    Attributes:
        title: What it shows.
        subject: The same within a sentence.
        figure: From a layer to what is plotted; None has no dot.
        place: From a figure to its place on the axis.
    """

    title: str
    subject: str
    figure: Callable[[Layer], float | None]
    place: Callable[[float], float]


def _width(layer: Layer) -> float | None:
    """Returns how wide the range of a layer's output is; None if that is not known, or nothing."""
    if layer.range is None:
        return None
    return _positive(layer.range[1] - layer.range[0])


def _positive(figure: float | None) -> float | None:
    """Returns a figure that a logarithmic axis has a place for; None for another."""
    return figure if figure is not None and 0 < figure < math.inf else None


_NOISE = _DotPlot(
    title="Signal-to-noise ratio of the output, layer by layer, in dB: low is far from float",
    subject="the signal-to-noise ratio of the output in dB",
    figure=lambda layer: layer.sqnr_db,
    place=float,
)
_RANGES = _DotPlot(
    title="Width of the range of the output, layer by layer (logarithmic)",
    subject="the width of the range of the output",
    figure=_width,
    place=math.log,
)
_SCALES = _DotPlot(
    title="Scale of the output, layer by layer (logarithmic): a large scale is a coarse step",
    subject="the scale of the output",
    figure=lambda layer: _positive(layer.scale),
    place=math.log,
)


def layer_strips(layers: Sequence[Layer]) -> list[Strip]:
    """Returns the plots over all layers; none that would show fewer than two figures."""
    found = [
        _dots(layers, _NOISE),
        _dots(layers, _RANGES),
        _bars_of_weights(layers),
        _dots(layers, _SCALES),
    ]
    return [strip for strip in found if strip is not None]


def _bars_of_weights(layers: Sequence[Layer]) -> Strip | None:
    figures = [layer.weights_bytes for layer in layers]
    if sum(figure > 0 for figure in figures) < 2:
        return None
    highest = max(figures)
    return Strip(
        title="Bytes of weights, layer by layer",
        path=bars(figures),
        kind="bars",
        width=10 * len(figures),
        top=size(highest),
        bottom="0",
        label=f"Bars of the bytes of weights of {counted(len(layers), 'layer', 'layers')}; the "
        f"largest is {size(highest)}, in layer {_name(layers[figures.index(highest)])}.",
        ticks=ticks([layer.index for layer in layers]),
    )


def _dots(layers: Sequence[Layer], plot: _DotPlot) -> Strip | None:
    figures = ((index, plot.figure(layer)) for index, layer in enumerate(layers))
    known = {index: figure for index, figure in figures if figure is not None}
    if len(known) < 2:
        return None
    lowest, highest = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    top = plot.place(known[highest])
    span = top - plot.place(known[lowest]) or 1.0
    path = "".join(
        f"M{10 * index + 5} {6 + 88 * (top - plot.place(figure)) / span:.1f}h0"
        for index, figure in known.items()
    )
    return Strip(
        title=plot.title,
        path=path,
        kind="dots",
        width=10 * len(layers),
        top=number(known[highest]),
        bottom=number(known[lowest]),
        label=f"Dots of {plot.subject} of {counted(len(known), 'layer', 'layers')}, from "
        f"{number(known[lowest])} in layer {_name(layers[lowest])} to "
        f"{number(known[highest])} in layer {_name(layers[highest])}.",
        ticks=ticks([layer.index for layer in layers]),
    )


def bars(figures: Sequence[int]) -> str:
    """Returns the path of a strip with a bar for each figure above 0.

    Args:
        figures: None of them below 0, and one at least above it.
    """
    highest = max(figures)
    return "".join(
        f"M{10 * index + 1} 100v{-98 * figure / highest:.1f}h8V100z"
        for index, figure in enumerate(figures)
        if figure > 0
    )


def ticks(numbers: Sequence[int]) -> tuple[Tick, ...]:
    """Returns the first number below a strip, and as many others as there is room for.

    Args:
        numbers: Of all marks.
    """
    least = math.ceil(len(numbers) / _MOST_TICKS)
    step = next(step for step in _STEPS if step >= least) if least <= _STEPS[-1] else least
    return tuple(
        Tick(numbers[place], round(100 * (place + 0.5) / len(numbers), 2))
        for place in range(0, len(numbers), step)
    )


def _name(layer: Layer) -> str:
    return f"{layer.index}, {clip(layer.name or layer.operator, 60)}"
