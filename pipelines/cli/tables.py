"""Tables that fit a terminal and lose no figure.

A table that is too wide for its terminal has its names shortened in the middle. If that would leave
too little of them, or make two of them look alike, every row becomes a few lines of its own, in
which nothing is shortened. Where there is no terminal, tables are as wide as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from tfx_tflite.components.characters import escaped

_GAP = "  "
_ELLIPSIS = "…"
# Of a name that is shortened so many cells stay at least.
_LEAST = 12


@dataclass(frozen=True)
class Name:
    """What a cell holds if it may be shortened; a text by itself stays whole.

    Attributes:
        text: The name.
        tail: What comes after it and stays whole, such as a figure.
    """

    text: str
    tail: str = ""

    def within(self, width: int) -> str:
        """Returns the name and its tail in so many cells of a terminal, if there is room for it."""
        return shortened(self.text, width - cell_len(self.tail)) + self.tail

    @property
    def least(self) -> int:
        """How many cells it needs."""
        return min(_LEAST, cell_len(self.text)) + cell_len(self.tail)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its title.
        justify: Where its cells stand in it.
        is_heading: Whether its cells are the first line of a row that has lines of its own.
    """

    title: str
    justify: Literal["left", "right"] = "left"
    is_heading: bool = False


@dataclass(frozen=True)
class _Row:
    cells: tuple[Name, ...]
    is_shortened: tuple[bool, ...]
    style: str

    @classmethod
    def of(cls, cells: Sequence[str | Name], style: str) -> "_Row":
        names = [cell if isinstance(cell, Name) else Name("", cell) for cell in cells]
        # What is printed has no ends of line and other commands in it.
        shown = tuple(Name(escaped(name.text), escaped(name.tail)) for name in names)
        return cls(shown, tuple(isinstance(cell, Name) for cell in cells), style)

    def whole(self) -> list[str]:
        return [cell.text + cell.tail for cell in self.cells]


@dataclass
class Table:
    """A table that rich prints in the width that its terminal has.

    Attributes:
        columns: Its columns.
        note: A line below it.
    """

    columns: Sequence[Column]
    note: str = ""
    _rows: list[_Row] = field(default_factory=list)

    def add_row(self, *cells: str | Name, style: str = "") -> None:
        """Adds a row.

        Args:
            cells: One a column. A text is printed whole, a Name may be shortened.
            style: As rich has it.
        """
        self._rows.append(_Row.of(cells, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the lines, as rich asks for them."""
        room = options.max_width
        widths = self._widths(room)
        yield from self._stacked(room) if widths is None else self._side_by_side(widths)
        if self.note:
            yield Text(escaped(self.note))

    def _wanted(self) -> list[int]:
        """Returns how wide each column is if nothing in it is shortened."""
        lines = [[column.title for column in self.columns], *(row.whole() for row in self._rows)]
        return [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]

    def _widths(self, room: int) -> list[int] | None:
        """Returns how wide each column may be; None if the rows do not fit side by side."""
        wanted = self._wanted()
        least = [
            max(cell_len(column.title), 0, *(row.cells[index].least for row in self._rows))
            for index, column in enumerate(self.columns)
        ]
        room -= len(_GAP) * (len(self.columns) - 1)
        if sum(wanted) <= room:
            return wanted
        if sum(least) > room:
            return None
        widths = _shared(wanted, least, room)
        return None if self._look_alike(widths) else widths

    def _look_alike(self, widths: Sequence[int]) -> bool:
        """Returns whether different names of a column become the same."""
        for index, width in enumerate(widths):
            names = {row.cells[index] for row in self._rows}
            if len({name.within(width) for name in names}) < len(names):
                return True
        return False

    def _side_by_side(self, widths: Sequence[int]) -> Iterator[Text]:
        every = range(len(self.columns))
        yield Text(self._line([column.title for column in self.columns], widths, every), "bold")
        for row in self._rows:
            cells = [cell.within(width) for cell, width in zip(row.cells, widths, strict=True)]
            yield Text(self._line(cells, widths, every), row.style)

    def _stacked(self, room: int) -> Iterator[Text]:
        """Yields each row as its heading and, below it, the other cells."""
        titles = [column.title for column in self.columns]
        widths = self._wanted()
        heading = [index for index, column in enumerate(self.columns) if column.is_heading]
        below = [index for index in range(len(titles)) if index not in heading]
        has_columns = sum(len(_GAP) + widths[index] for index in below) <= room
        if has_columns:
            yield Text(_GAP.join(titles[index] for index in heading), "bold")
            yield Text(_GAP + self._line(titles, widths, below), "bold")
        for row in self._rows:
            cells = row.whole()
            lines = list(_filled([cells[index] for index in heading], room))
            if has_columns:
                lines.append(_GAP + self._line(cells, widths, below))
            else:
                titled = [f"{titles[index]} {cells[index]}" for index in below]
                lines += _filled(titled, room, _GAP)
            for line in lines:
                yield Text(line, row.style)

    def _line(self, cells: Sequence[str], widths: Sequence[int], shown: Sequence[int]) -> str:
        """Returns a line of the cells of some columns, each in its width."""
        padded = []
        for index in shown:
            blank = " " * (widths[index] - cell_len(cells[index]))
            is_right = self.columns[index].justify == "right"
            padded.append(blank + cells[index] if is_right else cells[index] + blank)
        return _GAP.join(padded).rstrip()


def shortened(text: str, width: int) -> str:
    """Returns a text in so many cells of a terminal: if it is longer, without its middle.

    Args:
        text: The text.
        width: At least 1.
    """
    if cell_len(text) <= width:
        return text
    room = width - cell_len(_ELLIPSIS)
    end = _first_cells(text[::-1], room // 2)[::-1]
    return _first_cells(text, room - cell_len(end)) + _ELLIPSIS + end


def _first_cells(text: str, width: int) -> str:
    taken = ""
    for character in text:
        if cell_len(taken + character) > width:
            break
        taken += character
    return taken


def _shared(wanted: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Returns the widths of columns in a room that has not what they want; the widest give way.

    Args:
        wanted: What each would have.
        least: What each needs; there is room for that.
        room: What all have together.
    """
    widths = list(wanted)
    while sum(widths) > room:
        can_give = [index for index, width in enumerate(widths) if width > least[index]]
        widest = max(can_give, key=lambda index: widths[index])
        widths[widest] -= 1
    return widths


def _filled(parts: Sequence[str], room: int, indent: str = "") -> Iterator[str]:
    """Yields lines that parts are put into as long as they fit, each part whole."""
    line = ""
    for part in parts:
        longer = f"{line}{_GAP}{part}" if line else indent + part
        if line and cell_len(longer) > room:
            yield line
            longer = indent + part
        line = longer
    if line:
        yield line
