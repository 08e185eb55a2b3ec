from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.socs import find_soc, load_socs


def test_load_socs_knows_the_htp_arch_of_each() -> None:
    assert {soc.id: soc.htp_arch for soc in load_socs().values()} == {
        "SM8350": 68,
        "SM8450": 69,
        "SM8550": 73,
        "SM8650": 75,
        "SM8750": 79,
        "SM8850": 81,
    }


@pytest.mark.parametrize("name", ["SM8750", "sm8750", " SM8750 ", "SM8750P"])
def test_find_soc_known_name_in_any_case(name: str) -> None:
    assert find_soc(name).id == "SM8750"


def test_find_soc_unknown_name_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        find_soc("SM875")
    assert caught.value.problem == "unknown SoC 'SM875'"
    assert caught.value.hint == "did you mean SM8750?"


def test_find_soc_nothing_near_lists_all() -> None:
    with pytest.raises(InputError) as caught:
        find_soc("Tensor G5")
    assert caught.value.hint is None
    assert "SM8350" in str(caught.value.expected)
