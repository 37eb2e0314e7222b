"""Strike a cloud round by round and wait each time until all is right again.

A round: the tenant begins to change things, strikes begin at their times and are mended at theirs,
the tenant ends, and then the time runs until `truth` has nothing to complain about.
"""

import concurrent.futures
import contextlib
import dataclasses
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

import keystoneauth1.exceptions
import openstack.exceptions

from astara_devcloud import commands, faults, processes
from astara_devcloud.hypervisor import enter

from . import cloud as havoc_cloud
from . import draw, kind, kinds, schedule, truth

PATIENCE_S = 420.0
LOOK_EVERY_S = 1.0
MOVE_PAUSE_S = 1.5
OPERATOR = "astara-operator"
FELT_WITHIN_S = 30.0  # of its own time a fault has to show, or it was none
# A fault that cannot be put in place, most often because another one is in its way.
_MISSED = (
    faults.FaultError,
    processes.ProcessError,
    commands.CommandError,
    enter.NotRunning,
    openstack.exceptions.SDKException,
    keystoneauth1.exceptions.ClientException,
    subprocess.SubprocessError,
    OSError,
    LookupError,
)


class WrongError(AssertionError):
    """Something was still wrong when all patience was over."""


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """One strike as it went; `missed` says why it could not be put in place."""

    kind: str
    what: str
    at_s: float
    held_s: float
    missed: str = ""
    felt: str = ""  # how it showed


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """One round; `recovery_s` counts from the moment when the last fault was mended."""

    strikes: tuple[Done, ...]
    moves: int
    refused: int
    faulty_s: float
    recovery_s: float
    waited_for: tuple[str, ...]  # what was complained about on the way, without ids


class Runner:
    """Puts one cloud through rounds."""

    def __init__(
        self,
        cloud: havoc_cloud.Cloud,
        seed: int,
        tell: Callable[[str], None],
        most: int = draw.ROUTERS_MAX,
    ) -> None:
        self._cloud = cloud
        self._tell = tell
        self._drawer = draw.Drawer(cloud.tenant, seed, most)
        self.truth: truth.Truth | None = None

    def begin(self, routers: int) -> float:
        """Have the tenant make routers; return the seconds until all is right."""
        began = time.monotonic()
        self._drawer.begin(routers)
        wait_until_calm(self._cloud)
        self.truth = truth.Truth(self._cloud)
        self._until_right(began)
        return time.monotonic() - began

    def play(self, strikes: schedule.Round) -> Outcome:
        """Play one round; raises WrongError."""
        began = time.monotonic()
        before = dataclasses.replace(self._drawer.figures)
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(len(strikes) + 1) as pool:
            drawing = pool.submit(self._drawer.move_until, stop, MOVE_PAUSE_S)
            try:
                done = list(pool.map(self._strike, strikes))
            finally:
                stop.set()
            drawing.result()
        mend(self._cloud)
        self._drawer.settle(PATIENCE_S)
        mended = time.monotonic()
        waited = self._until_right(mended)
        figures = self._drawer.figures
        return Outcome(
            strikes=tuple(done),
            moves=figures.made - before.made,
            refused=figures.refused - before.refused,
            faulty_s=round(mended - began, 1),
            recovery_s=round(time.monotonic() - mended, 1),
            waited_for=tuple(waited),
        )

    def _strike(self, strike: schedule.Strike) -> Done:
        time.sleep(strike.at_s)
        began = time.monotonic()
        what = felt = missed = ""
        chosen = kinds.KINDS[strike.kind]
        if chosen.making:
            self._drawer.making.set()
        try:
            with chosen.fault(self._cloud, random.Random(strike.seed)) as struck:
                what = struck.what
                self._tell(f"  {strike.kind}: {what}, for {strike.hold_s} s")
                time.sleep(strike.hold_s)
                felt = _felt(struck, began + strike.hold_s + FELT_WITHIN_S)
                missed = "" if felt else "nothing shows that it was there"
        except _MISSED as reason:
            missed = str(reason) or type(reason).__name__
        self._tell(f"  {strike.kind}: {f'not as meant: {missed}' if missed else felt}")
        held_s = round(time.monotonic() - began, 1)
        return Done(strike.kind, what, strike.at_s, held_s, missed, felt)

    def _until_right(self, since: float) -> Sequence[str]:
        """Wait until nothing is wrong; return what was complained about meanwhile."""
        if self.truth is None:
            raise RuntimeError("begin first")
        waited: dict[str, None] = {}
        while found := self.truth.complaints():
            for complaint in found:
                if complaint not in waited:
                    self._tell(f"  {time.monotonic() - since:5.1f} s: {complaint}")
                    waited[complaint] = None
            if time.monotonic() - since > PATIENCE_S:
                raise WrongError("\n".join(found))
            time.sleep(LOOK_EVERY_S)
        return list(waited)


def _felt(struck: kind.Struck, deadline: float) -> str:
    """Wait until a fault shows; return how."""
    while not (told := struck.felt()) and time.monotonic() < deadline:
        time.sleep(0.25)
    return told


def wait_until_calm(cloud: havoc_cloud.Cloud) -> None:
    """Wait until all nodes have opened their queues, which is the last that they do."""
    wanted = {f"{kind}.{each.host}" for each in cloud.nodes for kind in ("astara", OPERATOR)}
    deadline = time.monotonic() + PATIENCE_S
    while missing := wanted - set(kinds.queues()):
        if time.monotonic() > deadline:
            raise WrongError(f"the nodes do not open {sorted(missing)}")
        time.sleep(0.5)


def mend(cloud: havoc_cloud.Cloud) -> None:
    """Undo whatever strikes that were in each other's way have left behind."""
    for name in ("mariadb", "rabbitmq"):
        with contextlib.suppress(faults.FaultError):
            faults.resume(name)
        faults.start(name)
    with contextlib.suppress(subprocess.SubprocessError):
        havoc_cloud.sql("SET GLOBAL read_only = 0")
    if cloud.zookeeper.process.poll() is not None:
        cloud.zookeeper.start()
    cloud.zookeeper.process.send_signal(signal.SIGCONT)
    for each in cloud.nodes:
        each.send(signal.SIGCONT)
        each.set_clock(0)
        each.ensure()
