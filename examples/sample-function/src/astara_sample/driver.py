"""The sample function: packets to some prefixes are dropped by blackhole routes.

Copy it and change the verbs. All state is in the kernel, which is the best place: whatever
happens to the agent, `observe` sees what is there, and nothing has to be remembered.
"""

import dataclasses
import ipaddress
import json
from typing import TYPE_CHECKING

import msgspec

from astara_appliance.drivers import base, functions
from astara_appliance.system import process
from astara_contract.types import Cidr

if TYPE_CHECKING:
    from astara_appliance.system.paths import Paths
    from astara_contract.document import Document

PROTOCOL = "251"
"""Marks our routes in the kernel. Take a number of your own: other drivers leave it alone."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the document says under `functions.sample`.

    Use the types of the contract: their alphabets hold no newline and no quote, so that no value
    can add a directive to a file. Name a secret `..._secret`, then it is never shown.
    """

    blackholes: tuple[Cidr, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What is to be done; falsy when there is nothing."""

    add: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


class SampleDriver:
    """Blackhole routes; see `base.Driver` for the rules of the verbs."""

    name = "sample"
    section = Section

    def __init__(self, paths: "Paths") -> None:
        # A driver with files keeps them below paths.run_dir (gone after a reboot) or
        # paths.state_dir (survives it), and starts daemons by astara_appliance.system.daemon.
        del paths

    def render(self, document: "Document", facts: base.Facts) -> tuple[str, ...]:
        """Compute the prefixes. Without a section the function is off: that must work, too,
        because it is how the function is taken away again.
        """
        del facts  # the NICs, for a function that needs to know devices
        section = functions.section_of(document, self.name, Section) or Section()
        try:
            # Parsed and spelled anew: what the kernel lists can be compared as a string.
            parsed = {str(ipaddress.ip_network(text)) for text in section.blackholes}
        except ValueError as error:
            raise base.CheckFailed(self.name, str(error)) from error
        return tuple(sorted(parsed))

    def check(self, desired: tuple[str, ...]) -> None:
        """Refuse what the kernel would not take; a daemon's own checker would be run here."""
        for prefix in desired:
            if prefix.endswith("/0"):
                raise base.CheckFailed(self.name, f"{prefix} would drop everything")

    def observe(self) -> tuple[str, ...]:
        """Read our routes from the kernel."""
        found = set()
        for family in ("-4", "-6"):
            query = ["ip", "-json", family, "route", "show", "proto", PROTOCOL]
            for route in json.loads(process.run(query).stdout or "[]"):
                found.add(str(ipaddress.ip_network(route["dst"])))
        return tuple(sorted(found))

    def diff(self, observed: tuple[str, ...], desired: tuple[str, ...]) -> Change:
        """Compute what differs: the cost of a change is the change, not the whole."""
        have, want = set(observed), set(desired)
        return Change(add=tuple(sorted(want - have)), remove=tuple(sorted(have - want)))

    def explain(self, change: Change) -> tuple[str, ...]:
        """Tell it to a person: GET /v1/system/drift shows these lines."""
        lacking = tuple(f"no blackhole {prefix}" for prefix in change.add)
        return (*lacking, *(f"surplus blackhole {prefix}" for prefix in change.remove))

    def apply(self, change: Change) -> None:
        """Do it; a repetition does no harm."""
        for prefix in change.add:
            process.run(["ip", "route", "replace", "blackhole", prefix, "proto", PROTOCOL])
        for prefix in change.remove:
            process.run(["ip", "route", "del", "blackhole", prefix, "proto", PROTOCOL])

    def verify(self, desired: tuple[str, ...]) -> None:
        """See that it is in effect; the pipeline rolls back if it is not."""
        left = self.diff(self.observe(), desired)
        if left:
            raise base.VerifyFailed(self.name, "; ".join(self.explain(left)))
