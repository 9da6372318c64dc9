"""A model behind an address of this machine: batches, labels or scores, failures that pass and others."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

import sfumato as sf
from sfumato.errors import ModelError, SettingError, SfumatoError

WEIGHTS = np.array([[1.0, -1.0, 0.0], [0.0, 0.5, 1.0]])
X = np.array([[1.0, 0.0], [-1.0, 0.5]], dtype=np.float32)


def scores(batch):
    return (batch @ WEIGHTS).tolist()


class Service:
    """What the server answers, and what it was asked."""

    def __init__(self):
        self.answer = scores
        self.failures: list[int] = []
        self.cut: list[bytes] = []
        self.pause = 0.0
        self.sizes: list[int] = []
        self.headers: list[str | None] = []


@pytest.fixture
def service():
    state = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.headers.append(self.headers["Authorization"])
            time.sleep(state.pause)
            if state.failures:
                self.send_error(state.failures.pop(0))
                return
            if state.cut:
                self.wfile.write(state.cut.pop(0))
                return
            batch = np.array(json.loads(body)["instances"])
            state.sizes.append(len(batch))
            answer = json.dumps({"predictions": state.answer(batch)}).encode()
            with contextlib.suppress(BrokenPipeError):  # a client that waits no longer
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield state
    server.shutdown()
    server.server_close()


def votes(classifier):
    return sf.SmoothedClassifier(classifier, 0.5, device="cpu").votes(X, 50)


EXPECTED = votes(lambda x: x.numpy() @ WEIGHTS)


@pytest.mark.parametrize("answer", [scores, lambda batch: (batch @ WEIGHTS).argmax(1).tolist()])
def test_scores_and_labels_give_the_votes_of_the_model(service, answer):
    service.answer = answer
    classifier = sf.from_endpoint(service.url, 3, batch_size=8, headers={"Authorization": "Bearer me"})
    assert np.array_equal(votes(classifier), EXPECTED)
    assert max(service.sizes) == 8
    assert set(service.headers) == {"Bearer me"}


def test_failures_that_may_pass_are_tried_again(service):
    service.failures = [503, 429]
    assert np.array_equal(votes(sf.from_endpoint(service.url, 3, wait=0.001)), EXPECTED)
    service.failures = [503] * 3
    with pytest.raises(SfumatoError, match=r"no answer after 3 tries .*503"):
        votes(sf.from_endpoint(service.url, 3, retries=2, wait=0.001))
    service.failures, service.sizes = [404, 404], []
    with pytest.raises(SfumatoError, match=r"refuses the request .*404"):
        votes(sf.from_endpoint(service.url, 3, wait=0.001))
    assert service.failures == [404]


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (b"", "without response"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{", "IncompleteRead"),
        (b"no protocol\r\n", "no protocol"),
    ],
)
def test_an_answer_that_does_not_arrive_whole_is_asked_for_again(service, cut, reason):
    service.cut = [cut]
    assert np.array_equal(votes(sf.from_endpoint(service.url, 3, wait=0.001)), EXPECTED)
    service.cut = [cut] * 2
    with pytest.raises(SfumatoError, match=f"no answer after 2 tries .*{reason}"):
        votes(sf.from_endpoint(service.url, 3, retries=1, wait=0.001))


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(SettingError, match=r"url must be an address such as .* got 'http://host:port/v1'"):
        votes(sf.from_endpoint("http://host:port/v1", 3, wait=60))


def test_a_service_that_hangs_ends_the_run(service):
    service.pause = 0.5
    with pytest.raises(SfumatoError, match="no answer after 1 tries"):
        votes(sf.from_endpoint(service.url, 3, timeout=0.05, retries=0))


def test_answers_that_are_not_understood_are_never_votes(service):
    for answer, words in [
        (lambda batch: scores(batch)[1:], "must answer"),
        (lambda batch: [9] * len(batch), "labels must be from 0 to 2"),
        (lambda batch: {"class": 1}, "must answer|not understood"),
        (lambda batch: [row[:2] for row in scores(batch)], "must answer"),
    ]:
        service.answer = answer
        with pytest.raises(ModelError, match=words):
            votes(sf.from_endpoint(service.url, 3))
    with pytest.raises(SettingError, match="url must begin with http"):
        sf.from_endpoint("ftp://here", 3)


@pytest.mark.parametrize("query", ["", "?key=[abc]*"])
def test_the_command_line_takes_an_address(service, tmp_path, monkeypatch, sfumato, query):
    monkeypatch.chdir(tmp_path)
    np.savez("points.npz", x=np.repeat(X, 10, 0), y=np.repeat((X @ WEIGHTS).argmax(1), 10))
    address = service.url + query
    command = ("certify", "--model", address, "--data", "points.npz", "--beta", "0.2", "--first", "2")
    code, _, errors = sfumato(*command, "--plan", "decide(0.1)", "--batch-size", "32", "--out", "t.tsv")
    assert code == 0, errors
    assert len(sf.Certificates.from_tsv("t.tsv")) == 2


def test_a_table_of_a_service_is_verified_where_its_address_is_given(service, tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    np.savez("points.npz", x=np.repeat(X, 10, 0), y=np.repeat((X @ WEIGHTS).argmax(1), 10))
    command = ("certify", "--model", service.url, "--data", "points.npz", "--beta", "0.2", "--first", "2")
    assert sfumato(*command, "--plan", "decide(0.1)", "--batch-size", "32", "--out", "t.tsv")[0] == 0
    asked = len(service.sizes)
    code, out, _ = sfumato("verify", "t.tsv")
    assert (code, len(service.sizes)) == (0, asked)
    assert f"is asked only if it is named here; give --model {service.url}" in out
    code, out, _ = sfumato("verify", "t.tsv", "--model", service.url)
    assert code == 0
    assert "votes of images 0, 1 drawn again from the seed" in out
    service.failures = [503] * 5
    code, out, _ = sfumato("verify", "t.tsv", "--model", service.url)
    assert code == 0
    assert f"not checked: alpha, clean_accuracy and votes: {service.url}: no answer after 5 tries" in out
    service.answer = lambda batch: (batch @ WEIGHTS + [0.0, 0.1, 0.0]).tolist()
    code, out, _ = sfumato("verify", "t.tsv", "--model", service.url)
    assert code == 1
    assert "DIFFERENT: model: its outputs for input 1" in out


def test_a_service_is_refused_for_images_without_labels(tmp_path, refused):
    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    refused(
        ["certify", "--model", "http://127.0.0.1:9/v1", "--data", tmp_path, "--beta", "0.1"],
        "which images without labels do not say; put the images into one folder for each class",
    )
