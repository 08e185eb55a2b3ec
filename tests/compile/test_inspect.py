"""PTEs read by executorch's deserialiser, in the process that `inspect` starts for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BundleCorrupt
from harness.pte_contents import read_contents


def test_read_contents_of_no_pte_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "vision_encoder_qnn.pte"
    path.write_bytes(b"not a flatbuffer at all" * 10)
    with pytest.raises(BundleCorrupt, match="vision_encoder_qnn"):
        read_contents([path])
