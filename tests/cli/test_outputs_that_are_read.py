"""An output that is one of the files it is made from is refused: the certificates would be lost."""

import pytest

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("{0}/t.tsv", "t.tsv"),
        ("name={0}/t.tsv", "t.tsv"),
        ("{0}/t.tsv", "link.tsv"),
        ("{0}/t.tsv", "t.tsv.json"),
        ("{0}/../folder/t.tsv", "t.tsv"),
    ],
)
def test_a_table_is_not_written_over_the_certificates_it_is_made_of(sfumato, tmp_path, source, out):
    folder = tmp_path / "folder"
    Certificates([Certificate(0, 3, 3, 0.5, 1.0)]).to_tsv(folder / "t.tsv")
    (folder / "t.tsv.json").write_text('{"beta": 0.5}')
    (folder / "link.tsv").symlink_to(folder / "t.tsv")
    before = [(folder / name).read_bytes() for name in ("t.tsv", "t.tsv.json")]
    code, shown, error = sfumato("table", "certified", source.format(folder), "--out", folder / out)
    assert (code, shown) == (2, "")
    assert "is read, and would be replaced by what is written; choose another output" in error
    assert [(folder / name).read_bytes() for name in ("t.tsv", "t.tsv.json")] == before


def test_another_file_is_replaced(sfumato, tmp_path):
    Certificates([Certificate(0, 3, 3, 0.5, 1.0)]).to_tsv(tmp_path / "t.tsv")
    for _ in range(2):
        assert sfumato("table", "certified", tmp_path / "t.tsv", "--out", tmp_path / "t.md")[0] == 0
