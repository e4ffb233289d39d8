import hashlib
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers import sources
from helpers.bundle import SourceError
from helpers.sources import Source, download

CONTENT = b"pictures" * 5000


class Handler(BaseHTTPRequestHandler):
    """Serves /good; cuts /cut short; serves other bytes at /wrong; fails once at /flaky."""

    calls: typing.ClassVar[list[str]] = []

    def do_GET(self):
        self.calls.append(self.path)
        if self.path == "/flaky" and self.calls.count("/flaky") == 1:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write({"/cut": CONTENT[:1000], "/wrong": CONTENT[::-1]}.get(self.path, CONTENT))

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Handler.calls = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def offer(tmp_path, monkeypatch):
    """Offer a data set at some addresses; return the folder that it is downloaded to."""

    def make(*urls):
        digest = hashlib.sha256(CONTENT).hexdigest()
        source = Source("data.bin", ("other-name.bin",), urls, digest, len(CONTENT), "none")
        monkeypatch.setattr(sources, "SOURCES", {"data": source})
        monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        return tmp_path / "keras" / "datasets"

    return make


def test_download_and_keep(server, offer):
    folder = offer(f"{server}/good")
    assert download("data").read_bytes() == CONTENT
    assert download("data") == folder / "data.bin"
    assert Handler.calls == ["/good"]


def test_second_mirror_serves_where_the_first_fails(server, offer):
    offer("http://127.0.0.1:9/closed", f"{server}/wrong", f"{server}/cut", f"{server}/good")
    assert download("data").read_bytes() == CONTENT


def test_a_passing_fault_is_tried_again(server, offer):
    offer(f"{server}/flaky")
    assert download("data").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["cut", "wrong"])
def test_a_bad_download_leaves_nothing_behind(server, offer, kind):
    folder = offer(f"{server}/{kind}")
    with pytest.raises(SourceError, match=f"{server}/{kind}"):
        download("data")
    assert not list(folder.iterdir())


def test_a_damaged_file_in_the_cache_is_replaced(server, offer):
    folder = offer(f"{server}/good")
    folder.mkdir(parents=True)
    (folder / "data.bin").write_bytes(CONTENT[:100])
    assert download("data").read_bytes() == CONTENT


def test_the_file_is_found_under_its_other_name(offer):
    folder = offer()
    folder.mkdir(parents=True)
    (folder / "other-name.bin").write_bytes(CONTENT)
    assert download("data") == folder / "other-name.bin"


def test_no_network_is_not_tried_again(offer, no_network):
    offer("http://127.0.0.1:9/closed")
    with pytest.raises(SourceError, match="mini"):
        download("data")
