"""ONNX models: the votes are those of the network that was exported."""

import copy

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import sfumato as sf
from sfumato.errors import ModelError

WEIGHTS = np.array([[1.0, -1.0, 0.0], [0.0, 0.5, 1.0]], dtype=np.float32)
X = np.array([[1.0, 0.0], [-1.0, 0.5]], dtype=np.float32)


def saved(path, *, batch="batch", outputs=("scores",), weights=WEIGHTS, beside=False):
    """Write the network x @ weights, of this batch size, with these outputs."""
    shapes = {"scores": (TensorProto.FLOAT, [batch, 3]), "label": (TensorProto.INT64, [batch])}
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2])],
        [helper.make_tensor_value_info(name, *shapes[name]) for name in outputs],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    kept = {"save_as_external_data": True, "location": f"{path.name}.data", "size_threshold": 0}
    onnx.save(model, path, **(kept if beside else {}))
    return path


def votes(classifier):
    return sf.SmoothedClassifier(classifier, 0.5, device="cpu").votes(X, 200)


EXPECTED = votes(lambda x: x.numpy() @ WEIGHTS)


@pytest.mark.parametrize("batch", ["batch", 1, 7])
def test_any_batch_size_gives_the_votes_of_the_network(tmp_path, batch):
    path = saved(tmp_path / "net.onnx", batch=batch)
    for model in (path, str(path), path.read_bytes()):
        assert np.array_equal(votes(sf.from_onnx(model)), EXPECTED)


def test_scores_are_found_among_outputs_and_labels_are_labels(tmp_path):
    both = sf.from_onnx(saved(tmp_path / "both.onnx", outputs=("label", "scores")))
    assert np.array_equal(votes(both), EXPECTED)
    labels = sf.from_onnx(saved(tmp_path / "label.onnx", outputs=("label",)))
    assert np.array_equal(votes(sf.from_labels(labels, 3)), EXPECTED)
    with pytest.raises(ModelError, match="no output 'logits'; it has label, scores"):
        sf.from_onnx(tmp_path / "both.onnx", output="logits")


def test_the_fingerprint_is_that_of_the_weights_wherever_they_are(tmp_path):
    first = sf.from_onnx(saved(tmp_path / "net.onnx"))
    assert first.fingerprint == sf.from_onnx((tmp_path / "net.onnx").read_bytes()).fingerprint
    other = sf.from_onnx(saved(tmp_path / "net.onnx", weights=2 * WEIGHTS)).fingerprint
    assert first.fingerprint != other
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    beside = [
        sf.from_onnx(saved(tmp_path / folder / "net.onnx", weights=weights, beside=True)).fingerprint
        for folder, weights in (("a", WEIGHTS), ("b", 2 * WEIGHTS))
    ]
    assert (tmp_path / "a" / "net.onnx").read_bytes() == (tmp_path / "b" / "net.onnx").read_bytes()
    assert beside[0] != beside[1]


def test_a_worker_opens_the_model_again(tmp_path):
    model = sf.from_onnx(saved(tmp_path / "net.onnx")).model
    assert np.array_equal(votes(copy.deepcopy(model)), EXPECTED)


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    for name, words in [("text.onnx", "not an ONNX model"), ("none.onnx", "cannot be read")]:
        with pytest.raises(ModelError, match=words):
            sf.from_onnx(tmp_path / name)


def test_the_command_line_takes_an_onnx_file(tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "net.onnx")
    np.savez("points.npz", x=np.repeat(X, 10, 0), y=np.repeat((X @ WEIGHTS).argmax(1), 10))
    command = (
        "certify",
        "--model",
        "net.onnx",
        "--data",
        "points.npz",
        "--beta",
        "0.2",
        "--plan",
        "decide(0.1)",
    )
    code, _, errors = sfumato(*command, "--first", "2", "--out", "t.tsv")
    assert code == 0, errors
    assert len(sf.Certificates.from_tsv("t.tsv")) == 2
    assert sf.from_onnx("net.onnx").fingerprint in (tmp_path / "t.tsv.json").read_text()


def test_a_table_of_an_onnx_file_is_verified_by_its_settings_alone(tmp_path, monkeypatch, sfumato):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "net.onnx")
    np.savez("points.npz", x=np.repeat(X, 10, 0), y=np.repeat((X @ WEIGHTS).argmax(1), 10))
    command = ("certify", "--model", "net.onnx", "--data", "points.npz", "--beta", "0.2", "--first", "2")
    for options in ((), ("--fingerprint", "v1")):
        table = f"{len(options)}.tsv"
        assert sfumato(*command, "--plan", "decide(0.1)", *options, "--out", table)[0] == 0
        code, out, errors = sfumato("verify", table)
        assert code == 0, out + errors
        assert "votes of images 0, 1 drawn again from the seed" in out
    saved(tmp_path / "net.onnx", weights=WEIGHTS + np.float32(0.1))
    code, out, _ = sfumato("verify", "0.tsv", "--redraw", 0)
    assert code == 1
    assert "DIFFERENT: model: net.onnx: its fingerprint is" in out
    (tmp_path / "net.onnx").write_text("no model")
    code, out, _ = sfumato("verify", "0.tsv")
    assert code == 0
    assert "not checked: alpha, clean_accuracy and votes: net.onnx: not an ONNX model that can be run" in out
