"""Labels that count and helpers of connection tracking: `table` holds the rules, `driver` ties
them to the drivers' verbs, `counters` reads what was counted.
"""

from .driver import ServicesDriver

__all__ = ["ServicesDriver"]
