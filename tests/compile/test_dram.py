"""Reading the HTP compiler's account of DRAM traffic."""

from __future__ import annotations

from harness.compile.dram import DramTraffic, parse_dram_traffic

BLOCK = """
Completed stage: Parallelization Optimization (11927 us)
====== DDR bandwidth summary ======
spill_bytes=1
fill_bytes=2
write_total_bytes=4096
read_total_bytes=200704

Completed stage: Finalizing Graph Sequence (1047 us)
"""


def test_parse_gives_one_entry_per_graph_in_order() -> None:
    log = BLOCK + "noise\n" + BLOCK.replace("200704", "7")
    assert parse_dram_traffic(log) == [
        DramTraffic(read_bytes=200704, write_bytes=4096, spill_bytes=1, fill_bytes=2),
        DramTraffic(read_bytes=7, write_bytes=4096, spill_bytes=1, fill_bytes=2),
    ]


def test_parse_without_a_summary_gives_nothing() -> None:
    assert parse_dram_traffic("read_total_bytes=5\n") == []


def test_parse_of_a_summary_cut_short_gives_nothing() -> None:
    assert parse_dram_traffic(BLOCK[: BLOCK.index("read_total")]) == []
