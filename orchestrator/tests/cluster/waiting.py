"""Wait for what other processes do."""

import time

DEADLINE_S = 120.0  # of a machine that does much else


def wait_until(condition, what, timeout_s=DEADLINE_S):
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)
    return value
