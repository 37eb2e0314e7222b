"""Name what the machine talks about: states of the walk, states of an instance, actions.

Decides nothing; every member carries one sentence that the generated documentation repeats.
Must never import anything that does I/O. Used by everything under `astara`.
"""

import enum


class _Described(enum.StrEnum):
    """A string with the sentence that explains it."""

    sentence: str

    def __new__(cls, value: str, sentence: str) -> "_Described":
        """Keep the sentence beside the value."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class WalkState(_Described):
    """Where the walk of one resource stands."""

    CALC_ACTION = "CalcAction", "Entry point: merge what was asked, look at the instance, choose."
    ALIVE = "Alive", "Observe the instance: Neutron, Nova and one probe of the appliance."
    CREATE_VM = "CreateVM", "Ask Nova for a server, or adopt the one an earlier attempt left."
    CHECK_BOOT = (
        "CheckBoot",
        "See whether the booting server answers yet; until then a timer waits.",
    )
    CONFIGURE_VM = "ConfigureVM", "Build the desired document and push it if its digest differs."
    REPLUG_VM = "ReplugVM", "Hot-plug and unplug until the NICs are those the document needs."
    STOP_VM = "StopVM", "Delete the server; when the resource is gone, its ports as well."
    REBUILD_VM = "RebuildVM", "Delete the server although it may be healthy, because it was asked."
    CLEAR_ERROR = "ClearError", "End the cool-down and take the resource back into management."
    STATS = "Stats", "Read traffic counters from the appliance."
    EXIT = "Exit", "The resource and all that served it are gone; the automaton is dropped."


class InstanceState(_Described):
    """What is known about the instance that serves a resource."""

    DOWN = "down", "No server exists."
    BOOTING = "booting", "A server exists and has not answered since it was created."
    UP = "up", "The appliance answers, but runs another configuration than the desired one."
    CONFIGURED = "configured", "The appliance answers and runs the desired configuration."
    RESTART_NEEDED = "restart-needed", "The server exists and cannot be repaired: replace it."
    HOTPLUG_NEEDED = (
        "hotplug-needed",
        "The appliance answers, but its NICs are not the needed ones.",
    )
    DEGRADED = "degraded", "One half of a pair serves; the other is left for later."
    GONE = "gone", "The resource does not exist in Neutron any more."
    ERROR = "error", "Given up for a while: too many failed boots, or an operator is needed."


class Action(_Described):
    """What is asked for a resource. A hint to look, never data to apply."""

    CREATE = "create", "The resource was created."
    READ = "read", "Read traffic counters."
    UPDATE = "update", "Something the configuration depends on may have changed."
    DELETE = "delete", "The resource was deleted."
    POLL = "poll", "See whether the instance is alive and configured as it should be."
    REBUILD = "rebuild", "Replace the server although it may be healthy."
