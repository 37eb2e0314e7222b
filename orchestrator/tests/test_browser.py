"""The terminal browser with 5,000 resources, driven by textual's pilot."""

import asyncio
import time

import msgspec
import pytest

from astara.api import cluster, messages
from astara.cli import browser, rows
from astara.worker import control_protocol as worker

COUNT = 5000


def line(number, **more):
    values = {
        "id": f"{number:08d}-0000-4000-8000-000000000000",
        "driver": "router",
        "tenant_id": f"tenant-{number % 50}",
        "node": "node-a",
        "worker": number % 4,
        "name": f"router-{number}",
        "phase": "idle",
        "state": "CalcAction",
        "instance": "configured",
        "since": time.time() - number,
    }
    return worker.ResourceLine(**{**values, **more})


class Nodes:
    """A cluster that answers from a list, and remembers what it was told."""

    def __init__(self, count=COUNT):
        self.lines = [line(number) for number in range(count)]
        self.commands = []
        self.faults = ()

    def change(self, number, **values):
        self.lines[number] = msgspec.structs.replace(self.lines[number], **values)

    def resources(self):
        return cluster.Everything(tuple(self.lines), self.faults)

    def resource(self, resource_id):
        known = next(one for one in self.lines if one.id == resource_id)
        move = worker.MoveView(
            1.0, 2.0, 3, "CheckBoot", "ConfigureVM", "update", "up", "it answers", "at once"
        )
        return worker.ResourceDetail(known, (move,), (), ("n1",))

    def command(self, command, driver=""):
        self.commands.append(command)
        return (messages.Report("node-a", True, "done", f"{command.name} {command.id}"),)


def drive(nodes, story):
    """Play a story against the browser."""

    async def play():
        shown = browser.Browser(nodes, "tester", interval_s=3600)
        async with shown.run_test(size=(160, 40)) as pilot:
            await until(pilot, lambda: shown.grid.count == len(nodes.lines))
            await shown.workers.wait_for_complete()
            await story(shown, pilot)

    asyncio.run(play())


async def until(pilot, condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, condition
        await pilot.pause(0.02)


def screen(shown):
    return "\n".join(
        "".join(segment.text for segment in strip)
        for strip in shown.screen._compositor.render_strips()
    )


def test_five_thousand_resources_are_shown_and_walked_through():
    nodes = Nodes()

    async def story(shown, pilot):
        assert "5000 of 5000" in screen(shown)
        assert "5000 configured" in screen(shown)
        await pilot.press("end")
        assert shown.grid.current.name == "router-4999" or shown.grid.current.name == "router-0"
        await pilot.press("home", "j", "j", "k")
        before = shown.grid.current.id
        await pilot.press("pagedown", "pageup")
        assert shown.grid.current.id == before

    drive(nodes, story)


def test_what_needs_eyes_comes_first_and_the_cursor_stays_on_its_resource():
    nodes = Nodes()

    async def story(shown, pilot):
        await pilot.press("j")
        kept = shown.grid.current.id
        nodes.change(1234, instance="error", error="no valid host", attempts=5)
        shown.look()
        await until(pilot, lambda: "1 error" in screen(shown))
        assert shown.grid.current.id == kept
        await pilot.press("home")
        assert shown.grid.current.name == "router-1234"
        assert "no valid host" in rows.cell(rows.COLUMNS[-1], shown.grid.current)

    drive(nodes, story)


def test_the_filter_takes_words_and_refuses_words():
    nodes = Nodes()
    nodes.change(7, instance="error")
    nodes.change(8, instance="error", tenant_id="other")

    async def story(shown, pilot):
        await pilot.press("slash", *"error -other")
        await until(pilot, lambda: shown.grid.count == 1)
        await pilot.press("enter")
        assert shown.grid.current.name == "router-7"
        await pilot.press("escape")
        await until(pilot, lambda: shown.grid.count == COUNT)

    drive(nodes, story)


def test_the_detail_tells_the_history():
    async def story(shown, pilot):
        await pilot.press("enter")
        await until(pilot, lambda: "CheckBoot -> ConfigureVM x3" in screen(shown))

    drive(Nodes(), story)


@pytest.mark.parametrize(
    ("keys", "name"),
    [("u", "resource-update"), ("m", "resource-manage"), ("p", "poll")],
    ids=["update", "manage", "poll"],
)
def test_a_key_has_it_done(keys, name):
    nodes = Nodes(3)

    async def story(shown, pilot):
        current = shown.grid.current.id
        await pilot.press(keys)
        await until(pilot, lambda: nodes.commands)
        [command] = nodes.commands
        assert (command.name, command.by) == (name, "tester")
        assert command.id == ("" if name == "poll" else current)

    drive(nodes, story)


def test_a_rebuild_wants_consent():
    nodes = Nodes(3)

    async def story(shown, pilot):
        await pilot.press("r", "escape")
        await pilot.press("r", *"no", "enter")
        assert nodes.commands == []
        await pilot.press("r", *"yes", "enter")
        await until(pilot, lambda: nodes.commands)
        assert nodes.commands[0].name == "resource-rebuild"

    drive(nodes, story)


def test_debug_takes_a_reason():
    nodes = Nodes(3)

    async def story(shown, pilot):
        await pilot.press("d", *"why", "enter")
        await until(pilot, lambda: nodes.commands)
        assert nodes.commands[0].reason == "why"

    drive(nodes, story)


def test_a_node_that_is_missing_is_told():
    nodes = Nodes(3)
    nodes.faults = ("node b is silent",)

    async def story(shown, _pilot):
        assert "INCOMPLETE: node b is silent" in screen(shown)

    drive(nodes, story)


def test_silence_keeps_what_was_known_and_says_so():
    nodes = Nodes(3)

    async def story(shown, pilot):
        def silent():
            raise cluster.Refused(messages.Report("", False, "node-silent", "nobody answers"))

        nodes.resources = silent
        shown.look()
        await until(pilot, lambda: "OUT OF DATE: nobody answers" in screen(shown))
        assert shown.grid.count == 3

    drive(nodes, story)


def test_refreshing_five_thousand_rows_costs_a_fraction_of_a_second():
    lines = Nodes().lines
    began = time.process_time()
    chosen = rows.choose(lines, "router -error", 4, reverse=True)
    rows.summary(chosen)
    assert len(chosen) == COUNT
    assert time.process_time() - began < 1.0
