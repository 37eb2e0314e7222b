"""Hold the table against the original diagram, edge by edge, and against the rules beyond it."""

import itertools
import re

import pytest

from astara.machine import table
from astara.machine.table import Fact, Origin, Pause
from astara.machine.vocabulary import Action, InstanceState, WalkState

# The diagram of the original design, word for word.
DESIGN = """
  CALC_ACTION -> ALIVE [ label = "ACT>[CRUP],vm:[UC]" ];
  CALC_ACTION -> CREATE_VM [ label = "ACT>[CRUP],vm:D" ];
  CALC_ACTION -> CHECK_BOOT [ label = "ACT>[CRUP],vm:B" ];
  CALC_ACTION -> REBUILD_VM [ label = "ACT:E" ];
  CALC_ACTION -> STOP_VM [ label = "ACT>D or vm:G" ];
  CALC_ACTION -> CLEAR_ERROR [ label = "vm:E" ];
  ALIVE -> CREATE_VM [ label = "vm>D" ];
  ALIVE -> CONFIG [ label = "ACT:[CU],vm:[UC]" ];
  ALIVE -> STATS [ label = "ACT:R,vm:C" ];
  ALIVE -> CALC_ACTION [ label = "ACT:P,vm>[UC]" ];
  ALIVE -> STOP_VM [ label = "vm:G" ];
  CREATE_VM -> CHECK_BOOT [ label = "ACT:[CRUDP],vm:[DBUCR]" ];
  CREATE_VM -> STOP_VM [ label = "vm:G" ];
  CREATE_VM -> CALC_ACTION [ label = "vm:E" ];
  CREATE_VM -> CREATE_VM [ label = "vm:D" ];
  CHECK_BOOT -> CONFIG [ label = "vm>U" ];
  CHECK_BOOT -> CALC_ACTION [ label = "vm:[BCR]" ];
  CHECK_BOOT -> STOP_VM [ label = "vm:[DG]" ];
  CONFIG -> STATS [ label = "ACT:R,vm>C" ];
  CONFIG -> CALC_ACTION [ label = "ACT>P,vm>C" ];
  CONFIG -> REPLUG_VM [ label = "vm>[H]" ];
  CONFIG -> STOP_VM [ label = "vm>[RDG]" ];
  REPLUG_VM -> CONFIG [ label = "vm>[H]" ];
  REPLUG_VM -> STOP_VM [ label = "vm>[R]" ];
  STATS -> CALC_ACTION [ label = "ACT>P" ];
  CLEAR_ERROR -> CALC_ACTION [ label = "no pause before next action" ];
  REBUILD_VM -> REBUILD_VM [ label = "vm!=[DG]" ];
  REBUILD_VM -> CREATE_VM [ label = "ACT:E,vm:D" ];
  STOP_VM -> CREATE_VM [ label = "ACT:E or vm>D" ];
  STOP_VM -> EXIT [ label = "ACT:D,vm>D or vm:G" ];
"""
# In these labels the action *becomes* POLL, because the walk is done.
BECOMES_POLL = {("CONFIG", "CALC_ACTION"), ("STATS", "CALC_ACTION")}

NAMES = {
    "CALC_ACTION": WalkState.CALC_ACTION,
    "ALIVE": WalkState.ALIVE,
    "CREATE_VM": WalkState.CREATE_VM,
    "CHECK_BOOT": WalkState.CHECK_BOOT,
    "CONFIG": WalkState.CONFIGURE_VM,
    "REPLUG_VM": WalkState.REPLUG_VM,
    "STOP_VM": WalkState.STOP_VM,
    "REBUILD_VM": WalkState.REBUILD_VM,
    "CLEAR_ERROR": WalkState.CLEAR_ERROR,
    "STATS": WalkState.STATS,
    "EXIT": WalkState.EXIT,
}
TRANSIENT = [
    WalkState.ALIVE,
    WalkState.CREATE_VM,
    WalkState.CHECK_BOOT,
    WalkState.CONFIGURE_VM,
    WalkState.REPLUG_VM,
    WalkState.STOP_VM,
    WalkState.REBUILD_VM,
]


def parse_clause(clause, ignore_action):
    """Read one side of an `or`: the sets of actions and of instance states it allows."""
    actions, states = set(Action), set(InstanceState)
    for kind, operator, letters in re.findall(r"(ACT|vm)(!=|[:>])\[?([A-Z]+)\]?", clause):
        letters_of = table.ACTION_LETTERS if kind == "ACT" else table.STATE_LETTERS
        named = {letters_of[letter] for letter in letters}
        if kind == "vm":
            states = set(InstanceState) - named if operator == "!=" else named
        elif not ignore_action:
            actions = named
    return actions, states


def design_edges():
    edges = re.findall(r'(\w+) -> (\w+) \[ label = "([^"]*)" \]', DESIGN)
    for source, target, label in edges:
        for clause in label.split(" or "):
            actions, states = parse_clause(clause, (source, target) in BECOMES_POLL)
            yield NAMES[source], NAMES[target], actions, states


def all_views(facts=frozenset()):
    return [
        table.View(action, state, facts)
        for action, state in itertools.product(Action, InstanceState)
    ]


def contradicted(state, view):
    return any(
        one.state is state
        and one.guard.actions >= {view.action}
        and view.instance in one.guard.states
        and one.guard.facts <= view.facts
        for one in table.CONTRADICTIONS
    )


def targets_in_design(state, view):
    return {
        target
        for source, target, actions, states in design_edges()
        if source is state and view.action in actions and view.instance in states
    }


def test_the_diagram_has_thirty_edges():
    assert len(re.findall("->", DESIGN)) == 30


@pytest.mark.parametrize("state", WalkState)
def test_wherever_the_design_says_where_to_go_the_table_agrees_or_gives_its_reason(state):
    for view in all_views():
        wanted = targets_in_design(state, view)
        if wanted:
            given = table.decide(state, view).next
            assert given in wanted or contradicted(state, view), (state, view, given)


def test_every_edge_of_the_design_is_a_row_of_the_table():
    ours = {(row.state, row.next) for row in table.TABLE if row.origin is Origin.DESIGN}
    wanted = {(NAMES[a], NAMES[b]) for a, b in re.findall(r"(\w+) -> (\w+)", DESIGN)}
    assert wanted == ours


def test_every_edge_of_the_design_is_taken_by_some_view():
    for source, target, actions, states in design_edges():
        taken = {
            table.decide(source, table.View(action, state)).next
            for action, state in itertools.product(actions, states)
        }
        if (source, target) == (WalkState.REPLUG_VM, WalkState.CONFIGURE_VM):
            taken.add(table.decide(source, table.View(Action.UPDATE, InstanceState.UP)).next)
        assert target in taken, (source, target)


def test_no_contradiction_is_stale():
    for one in table.CONTRADICTIONS:
        facts = frozenset(one.guard.facts)
        views = [
            table.View(action, state, facts)
            for action, state in itertools.product(one.guard.actions, one.guard.states)
        ]
        assert any(
            table.decide(one.state, view).next not in targets
            for view in views
            if (targets := targets_in_design(one.state, view))
        ), one


def test_every_row_of_our_own_has_a_reason():
    assert all(len(row.reason) > 5 for row in table.TABLE)


def test_the_table_has_no_hole():
    subsets = [
        frozenset(chosen)
        for size in range(len(Fact) + 1)
        for chosen in itertools.combinations(Fact, size)
    ]
    for state in set(WalkState) - {WalkState.EXIT}:
        for facts in subsets:
            for view in all_views(facts):
                table.decide(state, view)


def test_every_row_can_be_reached():
    reached = set()
    subsets = [
        frozenset(chosen) for size in range(4) for chosen in itertools.combinations(Fact, size)
    ]
    for state in set(WalkState) - {WalkState.EXIT}:
        for facts in subsets:
            reached |= {table.decide(state, view) for view in all_views(facts)}
    assert set(table.TABLE) == reached


def test_every_state_but_exit_has_an_exit():
    for state in set(WalkState) - {WalkState.EXIT}:
        assert any(row.next is not state for row in table.TABLE if row.state is state), state


@pytest.mark.parametrize("state", TRANSIENT)
def test_every_transient_state_has_a_failure_edge(state):
    rows = [row for row in table.TABLE if row.state is state]
    assert any(row.origin is Origin.FAILURE for row in rows)


@pytest.mark.parametrize("state", sorted(set(TRANSIENT) - {WalkState.CONFIGURE_VM}))
def test_every_wait_has_a_deadline(state):
    """ConfigureVM waits for nothing: one call with its own deadline, then it is left."""
    rows = [row for row in table.TABLE if row.state is state]
    assert any(row.origin is Origin.DEADLINE for row in rows)


def test_configure_is_always_left():
    rows = [row for row in table.TABLE if row.state is WalkState.CONFIGURE_VM]
    assert all(row.next is not WalkState.CONFIGURE_VM for row in rows)


def test_a_state_that_returns_to_itself_pauses():
    for row in table.TABLE:
        if row.next is row.state:
            assert row.pause not in (Pause.NONE, Pause.DONE), row


def test_no_cycle_without_pause():
    """A walk that never pauses would spin: the rows without pause form no cycle for any view."""
    for view in [
        v
        for facts in ({}, {Fact.SILENT}, {Fact.FAILED_BEFORE})
        for v in all_views(frozenset(facts))
    ]:
        for start in set(WalkState) - {WalkState.EXIT}:
            state, seen = start, []
            while state is not WalkState.EXIT and state not in seen:
                seen.append(state)
                row = table.decide(state, view)
                if row.pause is not Pause.NONE or row.becomes:
                    break
                state = row.next
            else:
                assert state is WalkState.EXIT or execution_breaks_it(seen), (view, seen)


def execution_breaks_it(states):
    """Some cycles exist on paper only: executing one of their states changes the instance's."""
    changes = {
        WalkState.CLEAR_ERROR,  # leaves ERROR
        WalkState.STOP_VM,  # leaves neither a server nor its state
        WalkState.CREATE_VM,  # leaves DOWN or fails
        WalkState.REPLUG_VM,  # leaves HOTPLUG_NEEDED or waits
        WalkState.CHECK_BOOT,  # leaves BOOTING or waits
    }
    return bool(changes & set(states))


def test_an_inconclusive_look_never_ends_a_resource_nor_stops_a_server():
    for state in set(WalkState) - {WalkState.EXIT, WalkState.STATS}:
        for view in all_views(frozenset({Fact.AWAY})):
            row = table.decide(state, view)
            assert row.next is not WalkState.EXIT
            assert row.next in {state, WalkState.CALC_ACTION}, (state, view, row)
            assert row.pause in (Pause.BACKOFF, Pause.COOLDOWN)


def test_pauses_that_wait_for_something_are_cut_short_by_a_deletion():
    for pause, actions in table.INTERRUPTS.items():
        assert Action.DELETE in actions, pause
        assert Action.POLL not in actions, pause
