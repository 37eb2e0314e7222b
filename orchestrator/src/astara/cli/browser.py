"""The terminal browser: all resources of the cluster, live, and keys to act on one.

Decides what a key asks for and what is asked before. Nodes are asked in threads, never in the
loop that draws; an answer that comes late is dropped. Started by `browsing`.
"""

import subprocess
import typing
from collections.abc import Callable, Sequence

from textual import app, binding, containers, screen, widgets, work

from ..api import cluster, messages
from . import login, rows, showing, table

_DESTRUCTIVE = "Its server is replaced and its traffic stops meanwhile."


class Source(typing.Protocol):
    """Whom the browser asks: a cluster."""

    def resources(self) -> cluster.Everything:
        """Give all resources."""

    def resource(self, resource_id: str) -> typing.Any:
        """Give one with its history."""

    def command(self, command: messages.Command, driver: str = "") -> tuple[messages.Report, ...]:
        """Have something done."""


class Question(screen.ModalScreen[str | None]):
    """Ask for a word or for consent; None if it was declined."""

    BINDINGS: typing.ClassVar = [binding.Binding("escape", "decline", "Cancel")]
    CSS = """
    Question { align: center middle; }
    #box { width: 70; height: auto; border: thick $accent; background: $surface; padding: 1 2; }
    """

    def __init__(self, text: str, placeholder: str) -> None:
        super().__init__()
        self._text = text
        self._placeholder = placeholder

    def compose(self) -> app.ComposeResult:
        """Make the box."""
        with containers.Vertical(id="box"):
            yield widgets.Static(self._text, markup=False)
            yield widgets.Input(placeholder=self._placeholder)

    def on_input_submitted(self, event: widgets.Input.Submitted) -> None:
        """Give what was typed."""
        self.dismiss(event.value)

    def action_decline(self) -> None:
        """Give nothing."""
        self.dismiss(None)


class Browser(app.App[int]):
    """The application."""

    TITLE = "astara"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #summary { height: 1; padding: 0 1; background: $panel; }
    #filter { display: none; height: 3; }
    #filter.shown { display: block; }
    ResourceTable { height: 1fr; }
    #detail { display: none; height: 45%; border-top: solid $accent; padding: 0 1; }
    #detail.shown { display: block; }
    """
    BINDINGS: typing.ClassVar = [
        binding.Binding("q", "quit", "Quit"),
        binding.Binding("slash", "filter", "Filter", key_display="/"),
        binding.Binding("escape", "clear", "Clear", show=False),
        binding.Binding("s", "sort", "Sort"),
        binding.Binding("S", "reverse", "Reverse", show=False),
        binding.Binding("enter", "detail", "Detail"),
        binding.Binding("r", "rebuild", "Rebuild"),
        binding.Binding("u", "update", "Update"),
        binding.Binding("p", "poll", "Poll all"),
        binding.Binding("d", "debug", "Debug"),
        binding.Binding("m", "manage", "Manage"),
        binding.Binding("l", "ssh", "ssh"),
    ]

    def __init__(
        self,
        source: Source,
        by: str,
        interval_s: float = 2.0,
        text: str = "",
        key: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._key = list(key)
        self._source = source
        self._by = by
        self._interval_s = interval_s
        self._filter = text
        self._everything = cluster.Everything((), ())
        self._order = (0, False)

    def compose(self) -> app.ComposeResult:
        """Make the screen."""
        yield widgets.Static("asking the nodes…", id="summary", markup=False)
        yield widgets.Input(self._filter, placeholder="words, -not", id="filter")
        yield table.ResourceTable(id="table")
        with containers.VerticalScroll(id="detail"):
            yield widgets.Static("", id="text", markup=False)
        yield widgets.Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.grid.focus()
        self.look()
        self.set_interval(self._interval_s, self.look)

    @property
    def grid(self) -> table.ResourceTable:
        """The table."""
        return self.query_one("#table", table.ResourceTable)

    # -- looking ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Ask for everything, unless the last question is still under way."""
        if not any(each.group == "list" and not each.is_finished for each in self.workers):
            self._fetch()

    @work(thread=True, group="list", exit_on_error=False)
    def _fetch(self) -> None:
        try:
            found = self._source.resources()
        except cluster.Refused as refusal:
            self.call_from_thread(self._failed, str(refusal))
            return
        self.call_from_thread(self._show, found)

    def _failed(self, text: str) -> None:
        self.query_one("#summary", widgets.Static).update(f"OUT OF DATE: {text}")

    def _show(self, found: cluster.Everything) -> None:
        self._everything = found
        self._refill()
        self._look_closer()

    def _refill(self) -> None:
        column, reverse = self._order
        lines = rows.choose(self._everything.resources, self._filter, column, reverse=reverse)
        self.grid.fill(lines, self._order)
        parts = [f"{len(lines)} of {len(self._everything.resources)}", rows.summary(lines)]
        if self._filter:
            parts.append(f"filter: {self._filter}")
        parts.extend(f"INCOMPLETE: {fault}" for fault in self._everything.faults)
        self.query_one("#summary", widgets.Static).update("  |  ".join(parts))

    def on_resource_table_moved(self, _event: table.ResourceTable.Moved) -> None:
        """Show the other resource's detail."""
        self._look_closer()

    def _look_closer(self) -> None:
        current = self.grid.current
        if current is not None and self.query_one("#detail").has_class("shown"):
            self._fetch_detail(current.id)

    @work(thread=True, group="detail", exclusive=True, exit_on_error=False)
    def _fetch_detail(self, resource_id: str) -> None:
        try:
            text = "\n".join(showing.describe(self._source.resource(resource_id)))
        except cluster.Refused as refusal:
            text = str(refusal)
        self.call_from_thread(self._show_detail, resource_id, text)

    def _show_detail(self, resource_id: str, text: str) -> None:
        current = self.grid.current
        if current is not None and current.id == resource_id:
            self.query_one("#text", widgets.Static).update(text)

    # -- keys about the view ---------------------------------------------------------------------

    def action_filter(self) -> None:
        """Let a filter be typed."""
        field = self.query_one("#filter", widgets.Input)
        field.add_class("shown")
        field.focus()

    def on_input_changed(self, event: widgets.Input.Changed) -> None:
        """Filter while it is typed."""
        if event.input.id == "filter":
            self._filter = event.value
            self._refill()

    def on_input_submitted(self, event: widgets.Input.Submitted) -> None:
        """Go back to the table."""
        if event.input.id == "filter":
            event.input.set_class(bool(event.value), "shown")
            self.grid.focus()

    def action_clear(self) -> None:
        """Drop the filter, close the detail."""
        field = self.query_one("#filter", widgets.Input)
        field.value = ""
        field.remove_class("shown")
        self.query_one("#detail").remove_class("shown")
        self.grid.focus()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._order = ((self._order[0] + 1) % len(rows.COLUMNS), False)
        self._refill()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._order = (self._order[0], not self._order[1])
        self._refill()

    def action_detail(self) -> None:
        """Open or close the detail."""
        self.query_one("#detail").toggle_class("shown")
        self.query_one("#text", widgets.Static).update("")
        self._look_closer()

    # -- keys that have something done -----------------------------------------------------------

    def action_poll(self) -> None:
        """Look at all resources now."""
        self._do(messages.Command("poll", by=self._by))

    def action_update(self) -> None:
        """Bring the resource to what Neutron wants."""
        self._about("resource-update")

    def action_manage(self) -> None:
        """End the resource's debug mode."""
        self._about("resource-manage")

    def action_rebuild(self) -> None:
        """Replace the server, after asking."""
        self._asked(
            lambda line: f"Rebuild {line.driver} {line.name} ({line.id})?\n{_DESTRUCTIVE}",
            "type yes",
            self._rebuild_if_sure,
        )

    def _rebuild_if_sure(self, line: rows.Line, answer: str) -> None:
        if answer.strip().lower() in ("yes", "y"):
            self._do(messages.Command("resource-rebuild", line.id, by=self._by))

    def action_debug(self) -> None:
        """Put the resource into debug mode, with a reason."""
        self._asked(
            lambda line: f"Put {line.driver} {line.name} ({line.id}) into debug mode: why?",
            "the reason, for your colleagues",
            self._debug_because,
        )

    def _debug_because(self, line: rows.Line, reason: str) -> None:
        self._do(messages.Command("resource-debug", line.id, reason=reason, by=self._by))

    def _asked(
        self,
        text: Callable[[rows.Line], str],
        placeholder: str,
        act: Callable[[rows.Line, str], None],
    ) -> None:
        """Ask something about the current resource and act on that one, wherever the cursor is."""
        line = self.grid.current
        if line is None:
            return

        def answered(answer: str | None) -> None:
            if answer is not None:
                act(line, answer)

        self.push_screen(Question(text(line), placeholder), answered)

    def _about(self, name: str) -> None:
        line = self.grid.current
        if line is not None:
            self._do(messages.Command(name, line.id, by=self._by))

    @work(thread=True, group="command", exit_on_error=False)
    def _do(self, command: messages.Command) -> None:
        try:
            reports = self._source.command(command)
        except cluster.Refused as refusal:
            reports = (refusal.report,)
        self.call_from_thread(self._tell, reports)

    def _tell(self, reports: tuple[messages.Report, ...]) -> None:
        for report in reports:
            severity: typing.Literal["information", "error"] = (
                "information" if report.done else "error"
            )
            self.notify(report.text, severity=severity, markup=False)
        self.look()

    def action_ssh(self) -> None:
        """Lend the terminal to ssh."""
        line = self.grid.current
        if line is None or not line.address:
            self.notify("it has no management address yet", severity="error")
            return
        with self.suspend():
            subprocess.run(login.command_of(line.address, self._key, []), check=False)


def run(source: Source, by: str, interval_s: float, text: str, key: Sequence[str]) -> int:
    """Run the browser until it is left, `key` being ssh's option for one; give the exit status."""
    return Browser(source, by, interval_s, text, key).run() or 0
