"""The same calls on SQLite, MariaDB and PostgreSQL: migrations, debug modes, epochs, outages."""

import threading
import time

import pytest
import sqlalchemy
from store_opening import opened

from astara.store import debug_modes, errors, ownership, schema, tables
from astara.store.debug_modes import Scope

NOBODY = {"reason": "", "by": "test"}


def test_migrations_make_the_tables_that_this_release_wants(base):
    assert schema.current(base) == tables.REVISION
    assert schema.differences(base) == []
    assert all(step.applied for step in schema.history(base))


def test_migrations_can_be_undone_and_repeated(base):
    assert schema.downgrade(base, "base") is None
    assert not any(step.applied for step in schema.history(base))
    assert schema.upgrade(base) == tables.REVISION
    assert schema.upgrade(base) == tables.REVISION
    assert schema.differences(base) == []


def test_missing_tables_are_noticed_and_name_the_remedy(base):
    schema.downgrade(base, "base")
    with pytest.raises(errors.NotMigrated, match="astara-dbsync upgrade"):
        debug_modes.DebugModes(base).all()
    schema.stamp(base, "head")
    assert len(schema.differences(base)) >= 2
    schema.stamp(base, "base")


def test_an_embedded_database_is_migrated_by_us_a_server_by_its_operator(server, base):
    schema.downgrade(base, "base")
    if server.process is None:
        schema.make_ready(base)
        assert schema.current(base) == tables.REVISION
    else:
        with pytest.raises(errors.NotMigrated, match=r"revision none.*astara-dbsync upgrade"):
            schema.make_ready(base)


def test_a_database_of_the_next_release_is_used(base):
    schema.stamp(base, "head")
    base.write(lambda c: c.execute(sqlalchemy.text("UPDATE alembic_version SET version_num='9'")))
    schema.make_ready(base)
    base.write(
        lambda c: c.execute(
            sqlalchemy.text("UPDATE alembic_version SET version_num=:now"),
            {"now": tables.REVISION},
        )
    )


def test_debug_modes_keep_their_first_reason(base):
    modes = debug_modes.DebugModes(base)
    first = modes.enter(Scope.TENANT, "t1", reason="größer als 🐘", by="alice")
    assert modes.enter(Scope.TENANT, "t1", reason="other", by="bob") == first
    assert modes.get(Scope.TENANT, "t1") == first
    assert modes.leave(Scope.TENANT, "t1") == first
    assert modes.leave(Scope.TENANT, "t1") is None


def test_all_debug_modes_come_widest_scope_first(base):
    modes = debug_modes.DebugModes(base)
    modes.enter(Scope.RESOURCE, "r1", **NOBODY)
    modes.enter(Scope.TENANT, "t1", **NOBODY)
    modes.enter(Scope.GLOBAL, "", **NOBODY)
    modes.enter(Scope.RESOURCE, "r0", **NOBODY)
    listed = [(mode.scope, mode.subject) for mode in modes.all()]
    assert listed == [
        (Scope.GLOBAL, ""),
        (Scope.TENANT, "t1"),
        (Scope.RESOURCE, "r0"),
        (Scope.RESOURCE, "r1"),
    ]


@pytest.mark.parametrize(("scope", "subject"), [(Scope.GLOBAL, "t1"), (Scope.TENANT, "")])
def test_a_scope_without_its_subject_is_refused(base, scope, subject):
    with pytest.raises(ValueError, match="makes no sense"):
        debug_modes.DebugModes(base).enter(scope, subject, **NOBODY)


def test_an_epoch_stays_with_its_owner_and_grows_with_the_next(base):
    epochs = ownership.Epochs(base)
    assert [epochs.claim("r1", owner) for owner in ("a", "a", "b", "b", "a")] == [1, 1, 2, 2, 3]
    assert [(each.resource_id, each.owner, each.epoch) for each in epochs.all()] == [
        ("r1", "a", 3)
    ]


def test_an_epoch_exceeds_what_the_appliance_has_seen(base):
    epochs = ownership.Epochs(base)
    assert epochs.claim("r1", "a", above=41) == 42
    assert epochs.claim("r1", "a", above=41) == 42
    assert epochs.claim("r1", "b") == 43


def test_a_resource_is_forgotten_by_its_owner_alone(base):
    epochs = ownership.Epochs(base)
    epochs.claim("r1", "a")
    assert not epochs.forget("r1", "b")
    assert epochs.forget("r1", "a")
    assert epochs.all() == ()


def test_nodes_that_claim_at_once_get_different_epochs(base):
    epochs = ownership.Epochs(base)
    gained, lost = [], []

    def claim(owner):
        for _ in range(5):
            try:
                gained.append((epochs.claim("r1", owner), owner))
            except errors.Unavailable as reason:
                lost.append(reason)  # fighting nodes may lose, but never share an epoch

    threads = [threading.Thread(target=claim, args=(f"node{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    owners = dict(gained)
    assert gained
    assert all(owners[epoch] == owner for epoch, owner in gained)
    assert epochs.get("r1").epoch == max(owners)


def test_a_frozen_server_costs_no_more_than_the_deadline(server):
    if server.process is None:
        pytest.skip("SQLite has no server")
    base = opened(server.url, timeout_s=1.0)
    schema.upgrade(base)
    modes = debug_modes.DebugModes(base)
    with server.frozen():
        before = time.monotonic()
        with pytest.raises(errors.Unavailable):
            modes.all()
        assert time.monotonic() - before < 10  # not for ever; the exact time is the machine's
    assert modes.enter(Scope.GLOBAL, "", **NOBODY) in modes.all()
    modes.leave(Scope.GLOBAL)
    base.close()


def test_a_server_that_comes_back_is_used_again(server):
    if server.process is None:
        pytest.skip("SQLite has no server")
    base = opened(server.url, timeout_s=1.0)
    schema.upgrade(base)
    epochs = ownership.Epochs(base)
    epochs.claim("r9", "a")
    server.kill()
    with pytest.raises(errors.Unavailable):
        epochs.claim("r9", "b")
    server.start()
    assert epochs.claim("r9", "b") == 2
    base.close()
