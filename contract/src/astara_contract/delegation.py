"""The section `functions.prefix-delegation` of the document: subnets whose IPv6 prefix a provider
delegates (RFC 8415 section 6.3), and what the appliance tells of them.
"""

import msgspec

from astara_contract.types import Identifier

NAME = "prefix-delegation"
"""The function's name and the key of its section."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The subnets, by id: each is to have a /64 of its own."""

    subnets: tuple[Identifier, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the function tells in the appliance's status, under its name: prefixes by subnet."""

    prefixes: dict[str, str] = {}
