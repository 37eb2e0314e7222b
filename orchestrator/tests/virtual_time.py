"""A clock that tests move by hand."""


class VirtualClock:
    """Seconds since the test began; jitter is left out so that pauses can be computed."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def jitter(self, seconds):
        return seconds
