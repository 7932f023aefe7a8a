from __future__ import annotations

import pytest

from tests.conftest import NOT_TESTED
from tests.helm.rendered import helm
from tests.servers import NotObtainable


@pytest.fixture(autouse=True, scope="session")
def _helm_is_here() -> None:
    try:
        helm()
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}the chart: {missing}")
