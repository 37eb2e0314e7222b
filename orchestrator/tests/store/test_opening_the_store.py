"""Which database is opened, who migrates it, and what its absence costs."""

import concurrent.futures
import pathlib
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from sqlalchemy.engine import make_url
from store_opening import opened

from astara import store
from astara.conf import database as options
from astara.conf import process
from astara.store import address, lane, ownership, schema, tables


@pytest.fixture
def conf(tmp_path):
    conf = cfg.ConfigOpts()
    conf.register_opts(process.OPTS)
    conf.register_opts(options.OPTS, group=options.GROUP)
    conf([], default_config_files=[])
    conf.set_override("state_path", str(tmp_path / "state"))
    return conf


def test_without_connection_a_file_is_made_and_migrated(conf):
    opened = store.open_store(conf)
    assert opened.debug.all() == ()
    assert pathlib.Path(conf.state_path, "astara.db").exists()
    assert schema.current(opened.base) == tables.REVISION
    opened.close()


def test_what_was_kept_is_found_again(conf):
    opened = store.open_store(conf)
    opened.debug.enter(store.Scope.GLOBAL, "", reason="moving house", by="alice")
    opened.close()
    opened = store.open_store(conf)
    assert [mode.reason for mode in opened.debug.all()] == ["moving house"]
    opened.close()


def test_processes_that_open_a_new_file_at_once_all_succeed(conf):
    code = (
        "import sys; from astara import conf, store\n"
        "conf.register(conf.CONF); conf.CONF([], default_config_files=[])\n"
        "conf.CONF.set_override('state_path', sys.argv[1])\n"
        "store.open_store(conf.CONF).epochs.claim('r1', 'node')\n"
    )
    argv = [sys.executable, "-c", code, conf.state_path]
    started = [subprocess.Popen(argv) for _ in range(3)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]


def test_a_server_that_is_away_is_unavailable(conf):
    conf.set_override("connection", "mysql+pymysql://root@127.0.0.1:9/astara", "database")
    with pytest.raises(store.Unavailable, match="Can't connect"):
        store.open_store(conf)


def test_no_password_is_told(conf):
    conf.set_override("connection", "mysql+pymysql://root:hush@127.0.0.1:9/astara", "database")
    with pytest.raises(store.Unavailable) as told:
        store.open_store(conf)
    assert "hush" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("mysql+pymysql://h/d", {"read_timeout": "5", "charset": "utf8mb4"}),
        ("mysql+pymysql://h/d?read_timeout=9", {"read_timeout": "9", "connect_timeout": "5"}),
        ("postgresql://h/d", {"connect_timeout": "5"}),
        ("sqlite:////tmp/x", {"timeout": "5.0"}),
    ],
)
def test_drivers_get_deadlines_unless_the_operator_set_them(url, wanted):
    query = address.with_deadlines(make_url(url), 5.0).query
    assert wanted.items() <= dict(query).items()


def test_a_late_call_is_left_behind_and_others_go_on():
    release = threading.Event()
    calls = lane.Lane(2)
    with pytest.raises(store.Unavailable):
        calls.call(lambda: release.wait(30), timeout_s=0.05)
    assert calls.call(lambda: "fine", timeout_s=30) == "fine"
    release.set()


def test_calls_beyond_the_width_wait_for_a_thread():
    calls = lane.Lane(2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: calls.call(lambda: n * n, timeout_s=30), range(50)))
    assert results == [n * n for n in range(50)]


class Model:
    """What a claim must give, in ten lines."""

    def __init__(self):
        self.owner, self.epoch = None, 0

    def claim(self, owner, above):
        if owner != self.owner or self.epoch <= above:
            self.owner, self.epoch = owner, max(self.epoch, above) + 1
        return self.epoch


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12)), max_size=12))
def test_claims_follow_the_model_and_never_fall(tmp_path_factory, claims):
    base = opened(f"sqlite:///{tmp_path_factory.mktemp('epochs')}/astara.db")
    schema.upgrade(base)
    epochs, model, last = ownership.Epochs(base), Model(), 0
    for owner, above in claims:
        epoch = epochs.claim("r1", owner, above)
        assert epoch == model.claim(owner, above)
        assert epoch >= last
        assert epoch > above
        last = epoch
    base.close()
