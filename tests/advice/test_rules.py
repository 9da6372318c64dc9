import math
import re
from pathlib import Path

import pytest

import sfumato
from sfumato.advice.rules import SHARE, same_rule, share_rule
from sfumato.errors import SettingError

SOURCES = Path(sfumato.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"


def test_the_rule_of_thumb_stands_in_one_place_of_the_sources_and_one_of_the_documentation():
    share = re.compile(r"\b0?\.7\d?\b (\*|\`\`|\*)?beta|\b0\.75? \* beta|three quarters of \*?beta")
    for path in sorted(SOURCES.rglob("*.py")):
        assert not share.search(path.read_text()), path
    pages = {page.name for page in DOCS.glob("*.md") if share.search(page.read_text())}
    assert pages == {"advice.md"}
    assert f"### Rule of thumb\n\nTrain with {SHARE:g} beta" in (DOCS / "advice.md").read_text()


@pytest.mark.parametrize("rule", [same_rule, share_rule])
@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_rules_need_a_positive_beta(rule, beta):
    with pytest.raises(SettingError, match="beta must be"):
        rule(beta)
