"""Structs are decoded by many threads from the first moment on."""

import subprocess
import sys

import pytest

DECODE = """
import sys, threading
import msgspec
from astara_contract import structs
sys.setswitchinterval(1e-6)
for number in range(300):
    inner = msgspec.defstruct("Inner", [(f"f{n}", list[int], []) for n in range(40)])
    outer = msgspec.defstruct("Outer", [(f"f{n}", inner | None, None) for n in range(40)])
    structs.prepare()
    ready = threading.Barrier(8)
    def work():
        ready.wait()
        assert msgspec.json.decode(b'{"f39": {"f39": [1]}}', type=outer).f39.f39 == [1]
    threads = [threading.Thread(target=work) for _ in range(8)]
    [each.start() for each in threads]
    [each.join() for each in threads]
    del inner, outer, work
"""


@pytest.mark.timeout(120)
def test_prepared_structs_may_be_decoded_by_many_threads_at_once():
    done = subprocess.run([sys.executable, "-c", DECODE], timeout=100, check=False)
    assert done.returncode == 0
