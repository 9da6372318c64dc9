"""Boundaries planned in tests go to a folder of their own."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def boundaries_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFUMATO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
