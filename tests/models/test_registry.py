import pytest
import torch
from safetensors.torch import load_file, save_file

from sfumato.errors import ModelError, OutputError, SettingError
from sfumato.models import build_model, load_model, model_names
from sfumato.models.checkpoint import read_safetensors, write_safetensors
from sfumato.models.classifier import load_classifier
from sfumato.models.normalize import Normalize


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name in model_names()
        for shape in [(1, 16, 16) if name == "lenet" else (1, 8, 8), (1, 28, 28), (3, 32, 32)]
    ],
)
def test_every_architecture_adapts_to_shape_and_classes(name, shape):
    model = build_model(name, shape, 7, [0.5] * shape[0], [0.2] * shape[0]).eval()
    assert model(torch.rand(2, *shape)).shape == (2, 7)


def test_the_networks_have_the_published_sizes():
    def parameters(name, shape):
        return sum(p.numel() for p in build_model(name, shape, 10, [0.5], [0.2]).parameters())

    # paper's MNIST network by hand: 320 + 18,496 + 1,179,776 + 1,290
    assert parameters("cnn", (1, 28, 28)) == 1_199_882
    # 20 (25 + 1), 50 (20 * 25 + 1), 500 (800 + 1), 10 (500 + 1)
    assert parameters("lenet", (1, 28, 28)) == 520 + 25_050 + 400_500 + 5_010
    # He et al. 2016, Table 6: 0.27 M and 1.7 M
    assert round(parameters("resnet20", (3, 32, 32)) / 1e6, 2) == 0.27
    assert round(parameters("resnet110", (3, 32, 32)) / 1e6, 1) == 1.7


def test_the_same_seed_gives_the_same_weights_and_leaves_global_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (build_model("mlp", (4,), 3, [0.0], [1.0], seed=s).state_dict() for s in (1, 1))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_normalisation_is_the_first_layer():
    model = build_model("mlp", (3, 4, 4), 2, [0.1, 0.2, 0.3], [1.0, 2.0, 4.0])
    assert isinstance(model[0], Normalize)
    out = model[0](torch.ones(1, 3, 4, 4))
    assert out[0, :, 0, 0].tolist() == pytest.approx([0.9, 0.4, 0.175])


def test_bad_architectures_are_named():
    with pytest.raises(ModelError, match=r"'cnm' is not known; accepted are mlp, cnn, .*factory"):
        build_model("cnm", (1, 8, 8), 10, [0.0], [1.0])
    with pytest.raises(ModelError, match="cannot be imported"):
        build_model("no_such_module:make", (1, 8, 8), 10, [0.0], [1.0])
    with pytest.raises(ModelError, match=r"at least 6 x 6, got input shape \(1, 5, 5\)"):
        build_model("cnn", (1, 5, 5), 10, [0.0], [1.0])
    with pytest.raises(ModelError, match="lenet needs images of at least 16 x 16"):
        build_model("lenet", (1, 28, 15), 10, [0.0], [1.0])
    with pytest.raises(ModelError, match=r"must return a torch.nn.Module, got str"):
        build_model("test_factory_module:text", (1,), 10, [0.0], [1.0])
    with pytest.raises(SettingError, match="std must be positive"):
        Normalize([0.0], [0.0])
    with pytest.raises(SettingError, match=r"mean has names .'red', 'green'., but what it is for has none"):
        Normalize({"red": 0.0, "green": 0.0}, [1.0, 1.0])


@pytest.fixture(autouse=True)
def factory_module(monkeypatch, tmp_path):
    (tmp_path / "test_factory_module.py").write_text(
        "import torch\n"
        "def make(input_shape, num_classes):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, num_classes))\n"
        "def text(input_shape, num_classes):\n"
        "    return 'text'\n"
        "def black_box(input_shape, num_classes):\n"
        "    return lambda x: x.numpy()\n"
        "def number(input_shape, num_classes):\n"
        "    return 5\n"
        "def broken(input_shape, num_classes):\n"
        "    raise KeyError('weights')\n"
        "class Bare(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :3]\n"
        "class Plain(Bare):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "class Wide(Bare):\n"
        "    def __init__(self, width=3):\n"
        "        super().__init__()\n"
        "class Needs(Bare):\n"
        "    def __init__(self, width, depth, classes):\n"
        "        super().__init__()\n"
        "class Shaped(Bare):\n"
        "    def __init__(self, width=12, num_classes=10):\n"
        "        super().__init__()\n"
        "        self.head = torch.nn.Linear(width % 7, num_classes)\n"
        "class Fails(Bare):\n"
        "    def __init__(self):\n"
        "        raise KeyError('weights')\n"
        "def nothing():\n"
        "    return Plain()\n"
        "def other(classes):\n"
        "    return Plain()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_factory_that_fails_is_reported_in_one_line():
    with pytest.raises(ModelError, match=r"the factory failed .*KeyError"):
        build_model("test_factory_module:broken", (1,), 10, [0.0], [1.0])


@pytest.mark.parametrize("name", ["Bare", "Plain", "Wide", "nothing"])
def test_what_takes_no_arguments_is_called_without(name):
    network = build_model(f"test_factory_module:{name}", (1, 2, 2), 3, [0.0], [1.0])
    assert network(torch.zeros(2, 1, 2, 2)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("Needs", "(width, depth, classes)"),
        ("other", "(classes)"),
        ("Shaped", "(width=12, num_classes=10)"),
    ],
)
def test_other_arguments_are_told_with_the_function_to_write(name, takes):
    with pytest.raises(ModelError) as caught:
        build_model(f"test_factory_module:{name}", (1, 2, 2), 3, [0.0], [1.0])
    assert (
        f"a factory is called with (input_shape, num_classes), and {name} takes {takes}: write 'def "
        f"build(input_shape, num_classes): return {name}(...)' and name test_factory_module:build"
    ) in str(caught.value)


def test_a_failure_within_what_takes_no_arguments_is_told_as_it_is():
    with pytest.raises(ModelError) as caught:
        build_model("test_factory_module:Fails", (1, 2, 2), 3, [0.0], [1.0])
    assert "(KeyError: 'weights', at " in str(caught.value)
    assert "is called with" not in str(caught.value)


def test_a_black_box_is_any_callable_and_sees_normalised_inputs():
    classifier = load_classifier("test_factory_module:black_box", (2,), 2, (0.5, 0.0), (0.25, 1.0))
    assert torch.equal(classifier.model(torch.tensor([[1.0, 3.0]])), torch.tensor([[2.0, 3.0]]))
    with pytest.raises(ModelError, match="Module or a callable, got int"):
        load_classifier("test_factory_module:number", (2,), 2)


def test_a_factory_of_the_users_own_is_wrapped_for_its_range():
    classifier = load_classifier("test_factory_module:make", (3, 4, 4), 5, (0.5,) * 3, (0.25,) * 3)
    assert classifier.record is None
    assert classifier.model(torch.rand(2, 3, 4, 4)).shape == (2, 5)
    assert classifier.model[0].std.tolist() == [0.25] * 3


def test_a_checkpoint_comes_back_as_it_was(digits_model, digits):
    model, record = load_model(digits_model)
    assert (record.alpha, record.architecture, record.data_sha256) == (0.3, "mlp", digits.checksum())
    assert record.clean_accuracy > 0.9
    hits = (model(torch.from_numpy(digits.test.x)).argmax(1).numpy() == digits.test.y).mean()
    assert hits == pytest.approx(record.clean_accuracy)
    assert not model.training


def altered(path, to, change):
    tensors, metadata = read_safetensors(path)
    change(tensors, metadata)
    write_safetensors(tensors, metadata, to)
    return to


def bias(change):
    """Return a change of one tensor; of None it is left out."""

    def changed(tensors, metadata):
        found = change(tensors.pop("1.1.bias"))
        if found is not None:
            tensors["1.1.bias"] = found

    return changed


def misspell(tensors, metadata):
    metadata["sfumato"] = metadata["sfumato"].replace('"alpha"', '"alhpa"')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (bias(lambda b: b + 1e-6), r"weights have checksum \w{64} but the record says \w{64}"),
        (
            bias(lambda b: b[:-1].clone()),
            r"does not fit mlp: '1.1.bias' is float32 \(511,\), expected float32",
        ),
        (bias(lambda b: b.double()), r"'1.1.bias' is float64 \(512,\), expected float32 \(512,\)"),
        (bias(lambda b: None), "'1.1.bias' is missing, expected float32"),
        (misspell, "record not understood"),
    ],
)
def test_a_file_that_does_not_match_its_record_is_refused(digits_model, tmp_path, change, words):
    with pytest.raises(ModelError, match=words):
        load_model(altered(digits_model, tmp_path / "altered", change))


def test_foreign_and_damaged_files_are_refused(digits_model, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file(load_file(digits_model), foreign)
    with pytest.raises(ModelError, match="has no Sfumato record"):
        load_model(foreign)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(digits_model.read_bytes()[:-10])
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        load_model(cut)
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "missing")


def test_a_checkpoint_for_other_data_is_refused(digits_model):
    with pytest.raises(ModelError, match=r"is for inputs \(1, 8, 8\) and 10 classes, but the data has"):
        load_classifier(str(digits_model), (1, 28, 28), 10)


def test_an_unwritable_place_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_safetensors({}, {}, tmp_path / "file" / "model")
