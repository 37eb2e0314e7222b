"""A table that draws only what is on the screen, so that its size does not matter.

Decides where the cursor is: it stays on its resource when lines come, go or change order. Used by
`browser`.
"""

import typing
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from . import rows

_HEADER = Style(bold=True, reverse=True)
_CURSOR = Style(reverse=True)
_PLAIN = Style()


class ResourceTable(ScrollView, can_focus=True):
    """The resources; a line of head, then one line each."""

    BINDINGS: typing.ClassVar = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("home,g", "move(-1000000000)", "First", show=False),
        Binding("end,G", "move(1000000000)", "Last", show=False),
    ]

    class Moved(Message):
        """The cursor is on another resource now."""

    def __init__(self, **more: typing.Any) -> None:
        super().__init__(**more)
        self._lines: Sequence[rows.Line] = ()
        self._cursor = 0
        self._sorted_by = (0, False)

    @property
    def current(self) -> rows.Line | None:
        """The resource under the cursor."""
        return self._lines[self._cursor] if self._lines else None

    @property
    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)

    def fill(self, lines: Sequence[rows.Line], sorted_by: tuple[int, bool]) -> None:
        """Show other lines; the cursor stays on its resource if that is still there."""
        before = self.current
        self._lines = lines
        self._sorted_by = sorted_by
        self.virtual_size = Size(rows.WIDTH, len(lines) + 1)
        at = self._cursor
        if before is not None:
            at = next((n for n, line in enumerate(lines) if line.id == before.id), at)
        self._cursor = max(0, min(at, len(lines) - 1))
        after = self.current
        if (before and before.id) != (after and after.id):
            self.post_message(self.Moved())
        self.refresh()

    # -- moving ----------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        at = max(0, min(self._cursor + by, len(self._lines) - 1))
        if at != self._cursor:
            self._cursor = at
            self.post_message(self.Moved())
        self._reveal()

    def action_page(self, by: int) -> None:
        """Move the cursor by a screen."""
        self.action_move(by * max(1, self.scrollable_content_region.height - 2))

    def _reveal(self) -> None:
        region = Region(int(self.scroll_offset.x), self._cursor, 1, 2)
        self.scroll_to_region(region, animate=False, force=True)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse is."""
        at = int(self.scroll_offset.y) + event.y - 1
        if event.y > 0 and at < len(self._lines):
            self.action_move(at - self._cursor)

    # -- drawing ---------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen."""
        left, top = (int(offset) for offset in self.scroll_offset)
        width = self.scrollable_content_region.width
        if y == 0:
            strip = self._head()
        elif (at := top + y - 1) < len(self._lines):
            strip = self._body(self._lines[at], here=at == self._cursor)
        else:
            return Strip.blank(width, self.rich_style)
        return strip.crop_extend(left, left + width, self.rich_style)

    def _head(self) -> Strip:
        segments = []
        for number, column in enumerate(rows.COLUMNS):
            mark = ""
            if number == self._sorted_by[0]:
                mark = "▼" if self._sorted_by[1] else "▲"
            segments.append(Segment(f"{column.title}{mark}".ljust(column.width) + " ", _HEADER))
        return Strip(segments)

    def _body(self, line: rows.Line, *, here: bool) -> Strip:
        base = self.rich_style + (_CURSOR if here else _PLAIN)
        tint = base + Style(color=rows.colour(line))
        segments = [
            Segment(rows.cell(column, line) + " ", tint if number == 0 else base)
            for number, column in enumerate(rows.COLUMNS)
        ]
        return Strip(segments)
