"""What all tests share: the mini profile, a cache of their own, and the bundle where there is one."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = Path(os.environ.get("COURSE_BUNDLE") or ROOT.parent / "shared" / "bundle").absolute()


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path_factory):
    """No setting of the machine reaches a test; nothing that a test writes reaches the reader's folders."""
    monkeypatch.delenv("COURSE_BUNDLE", raising=False)
    monkeypatch.setenv("COURSE_PROFILE", "mini")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.getbasetemp() / "keras"))


@pytest.fixture
def bundle(monkeypatch):
    """The real bundle; the test is skipped where there is none."""
    if not (BUNDLE / "MANIFEST.json").exists():
        pytest.skip(f"no bundle at {BUNDLE}; set COURSE_BUNDLE to the folder of one")
    monkeypatch.setenv("COURSE_BUNDLE", str(BUNDLE))
    return BUNDLE


@pytest.fixture
def no_network(monkeypatch):
    """Every connection is refused at once, as on a machine without network."""
    import socket

    def refuse(*_, **__):
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def scheduler():
    """A scheduler started by hand, with two workers, on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address
