"""The HTP compiler's own account of DRAM traffic, read from its log.

For every graph it finalises the compiler prints a block like::

    ====== DDR bandwidth summary ======
    spill_bytes=0
    fill_bytes=0
    write_total_bytes=65536
    read_total_bytes=8011776

That is the traffic of one inference: divided into the SoC's DRAM bandwidth it bounds the
rate from above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELD = re.compile(r"^\s*(spill|fill|write_total|read_total)_bytes\s*[=:]\s*(\d+)", re.MULTILINE)
_BLOCK = re.compile(r"DDR bandwidth summary(.*?)(?==+\s*DDR bandwidth summary|\Z)", re.DOTALL)


@dataclass(frozen=True)
class DramTraffic:
    """Bytes one inference of one graph moves between DRAM and the HTP."""

    read_bytes: int
    write_bytes: int
    spill_bytes: int
    fill_bytes: int


def parse_dram_traffic(log: str) -> list[DramTraffic]:
    """One entry per graph, in the order in which the compiler finished them."""
    traffic = []
    for block in _BLOCK.finditer(log):
        fields = {name: int(value) for name, value in reversed(_FIELD.findall(block.group(1)))}
        if "read_total" in fields:
            traffic.append(
                DramTraffic(
                    read_bytes=fields["read_total"],
                    write_bytes=fields.get("write_total", 0),
                    spill_bytes=fields.get("spill", 0),
                    fill_bytes=fields.get("fill", 0),
                )
            )
    return traffic
