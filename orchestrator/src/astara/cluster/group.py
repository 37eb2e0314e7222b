"""Be a member of the group of nodes, through tooz: the only place that imports it.

Decides when to join again. One beat is a heartbeat and a look at who is there; it may take as long
as the service likes, so it is called from a thread that nobody waits for. Must never leave the
group while our lease lasts, unless the node ends. Used by the coordinator.
"""

import logging
import uuid
import warnings
from typing import Any
from urllib import parse

import tooz

from . import members

LOG = logging.getLogger(__name__)


def url_with_timeout(url: str, timeout_s: int) -> str:
    """Give the URL with the time after which the service forgets us, unless it says one."""
    parts = parse.urlsplit(url)
    query = parse.parse_qsl(parts.query, keep_blank_values=True)
    if "timeout" not in dict(query):
        query.append(("timeout", str(timeout_s)))
    return parse.urlunsplit(parts._replace(query=parse.urlencode(query)))


def _load() -> Any:
    with warnings.catch_warnings():
        # futurist imports eventlet where it finds it installed; nothing of it is used.
        warnings.simplefilter("ignore")
        from tooz import coordination

    return coordination


class Group:
    """Our membership; used by one thread at a time."""

    def __init__(self, url: str, group_id: str, own: members.Member, *, timeout_s: int) -> None:
        self._tooz = _load()
        self._url = url_with_timeout(url, timeout_s)
        self._group_id = group_id.encode()
        self._timeout_s = timeout_s
        self._own = own
        # New with every start: the service may not have noticed yet that our last run ended, and
        # would drop a name that both had.
        self._member_id = f"{own.host}#{uuid.uuid4().hex[:12]}".encode()
        self._coordinator: Any = None
        self._known: dict[bytes, members.Member | None] = {}

    def beat(self) -> tuple[frozenset[members.Member], float]:
        """Beat once; give who is there, and for how many seconds since the call that holds.

        Raises whatever tooz and the library beneath it raise: the beat failed.
        """
        if self._coordinator is None:
            self._coordinator = self._connect()
        lasts_s = self._coordinator.heartbeat() or self._timeout_s
        present = self._present()
        if self._member_id not in present:
            self._join()
            present = self._present()
        ours = (self._member(member_id) for member_id in present)
        return frozenset(each for each in ours if each), min(lasts_s, self._timeout_s)

    def leave(self) -> None:
        """Leave the group, so that others take over at once; raises as `beat` does."""
        if self._coordinator is not None:
            self._coordinator.leave_group(self._group_id).get(timeout=self._timeout_s)
            self.disconnect()

    def disconnect(self) -> None:
        """End the session; only when the lease is over, because others may then take over."""
        ended, self._coordinator = self._coordinator, None
        self._known.clear()
        if ended is not None:
            ended.stop()

    def _connect(self) -> Any:
        coordinator = self._tooz.get_coordinator(self._url, self._member_id)
        coordinator.start(start_heart=False)
        return coordinator

    def _present(self) -> set[bytes]:
        try:
            found = self._coordinator.get_members(self._group_id).get(timeout=self._timeout_s)
        except self._tooz.GroupNotCreated:
            return set()
        self._known = {name: member for name, member in self._known.items() if name in found}
        return {name if isinstance(name, bytes) else str(name).encode() for name in found}

    def _join(self) -> None:
        try:
            self._coordinator.create_group(self._group_id).get(timeout=self._timeout_s)
        except self._tooz.GroupAlreadyExist:
            pass  # which is the rule
        told = members.to_capabilities(self._own)
        try:
            self._coordinator.join_group(self._group_id, told).get(timeout=self._timeout_s)
        except self._tooz.MemberAlreadyExist:
            LOG.info("group.rejoined member=%s", self._member_id.decode())
        else:
            LOG.info("group.joined member=%s", self._member_id.decode())

    def _member(self, member_id: bytes) -> members.Member | None:
        """Read what a member tells about itself, once."""
        if member_id not in self._known:
            told = self._coordinator.get_member_capabilities(self._group_id, member_id)
            try:
                member = members.from_capabilities(told.get(timeout=self._timeout_s))
            except tooz.ToozError as error:
                # A foreign member may have left anything there, or have gone since.
                LOG.info("group.unreadable member=%r reason=%s", member_id, error)
                return None
            if member is None:
                LOG.info("group.foreign member=%r", member_id)
            self._known[member_id] = member
        return self._known[member_id]
