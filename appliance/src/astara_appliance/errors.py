"""Why the appliance did not do what it was asked to.

    PushError
     +- Busy          another push is being applied; try again later
     +- StaleEpoch    the sender no longer owns this appliance
     +- NotOnTrial    nothing of that digest is to be confirmed (any more)
     +- PushFailed    a driver could not bring the document into effect

A document that is wrong in itself is a `ContractError` of the contract. Raised by the pipeline,
turned into answers by the API.
"""


class PushError(Exception):
    """A push, a confirmation or a repair was not carried out."""


class Busy(PushError):
    """Another document is being applied."""


class StaleEpoch(PushError):
    """The request carries a lower epoch than one already accepted."""

    def __init__(self, epoch: int, highest: int) -> None:
        self.epoch = epoch
        self.highest = highest
        super().__init__(f"epoch {epoch} is lower than {highest}")


class NotPaired(PushError):
    """A single appliance has no role to hand over."""


class NotOnTrial(PushError):
    """The configuration to confirm is not the one on trial."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"configuration {digest[:12]} is not on trial")


class PushFailed(PushError):
    """`driver` failed for `reason`; `rolled_back` tells whether what ran before runs again."""

    def __init__(self, driver: str, reason: str, *, rolled_back: bool = True) -> None:
        self.driver = driver
        self.reason = reason
        self.rolled_back = rolled_back
        super().__init__(f"{driver}: {reason}")
