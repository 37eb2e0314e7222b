"""What may go wrong below Nova's verbs, split by what the caller can do about it.

- HypervisorError
  - CommandFailed        a tool said no; its last words are in the message
  - CommandTimedOut      a tool (or the daemon behind it, such as Open vSwitch) does not answer
  - UnsupportedVif       Neutron bound a port in a way this hypervisor cannot plug
  - UnknownGuest         the image names no guest that exists
  - BootFailed           the namespaces of a server could not be made
  - StopFailed           a killed guest does not go away

The driver turns each into an exception of Nova's at its boundary.
"""


class HypervisorError(Exception):
    """Anything this hypervisor reports about itself."""


class CommandFailed(HypervisorError):
    """A command ended with another status than 0."""


class CommandTimedOut(HypervisorError):
    """A command did not end before its deadline."""


class UnsupportedVif(HypervisorError):
    """A VIF type that only a real hypervisor could plug."""


class UnknownGuest(HypervisorError):
    """An image without `devcloud_guest`, or with an unknown one."""


class BootFailed(HypervisorError):
    """The guest's PID 1 could not be started."""


class StopFailed(HypervisorError):
    """The guest's PID 1 is still there after SIGKILL."""
