import hashlib
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.files import downloads
from helpers.files.bundle import MissingSourceError
from helpers.files.cache import CacheFolderError
from helpers.files.downloads import Source, get_file

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
    """Offer a file at some addresses; return its source and the folder that it is downloaded to."""

    def make(*urls):
        digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
        monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(downloads, "_CONNECT_SECONDS", 60)  # on a busy machine
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        source = Source("datasets", "data.bin", urls, digest, len(CONTENT), also_known_as=("other-name.bin",))
        return source, tmp_path / "keras" / "datasets"

    return make


def test_download_and_keep(server, offer):
    source, folder = offer(f"{server}/good")
    assert get_file(source).read_bytes() == CONTENT
    assert get_file(source) == folder / "data.bin"
    assert Handler.calls == ["/good"]


def test_second_mirror_serves_where_the_first_fails(server, offer):
    source, _ = offer("http://127.0.0.1:9/closed", f"{server}/wrong", f"{server}/cut", f"{server}/good")
    assert get_file(source).read_bytes() == CONTENT


def test_a_passing_fault_is_tried_again(server, offer):
    source, _ = offer(f"{server}/flaky")
    assert get_file(source).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["cut", "wrong"])
def test_a_bad_download_leaves_nothing_behind(server, offer, kind):
    source, folder = offer(f"{server}/{kind}")
    with pytest.raises(MissingSourceError, match=f"{server}/{kind}"):
        get_file(source)
    assert not list(folder.iterdir())


def test_a_damaged_file_in_the_cache_is_replaced(server, offer):
    source, folder = offer(f"{server}/good")
    folder.mkdir(parents=True)
    (folder / "data.bin").write_bytes(CONTENT[::-1])
    assert get_file(source).read_bytes() == CONTENT


def test_the_file_is_found_under_its_other_name(offer):
    source, folder = offer()
    folder.mkdir(parents=True)
    (folder / "other-name.bin").write_bytes(CONTENT)
    assert get_file(source) == folder / "other-name.bin"


def test_no_network_says_what_to_do(offer, no_network):
    source, folder = offer("http://127.0.0.1:9/closed")
    with pytest.raises(MissingSourceError, match=r"COURSE_BUNDLE.*mini"):
        get_file(source)
    assert not folder.exists()


def test_a_folder_that_cannot_be_written(server, offer, tmp_path):
    source, _ = offer(f"{server}/good")
    (tmp_path / "keras").write_text("a file")
    with pytest.raises(CacheFolderError, match="KERAS_HOME"):
        get_file(source)
