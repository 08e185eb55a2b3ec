from __future__ import annotations

from harness.device.fitness import Fitness, parse_fitness

TEXT = """Current Battery Service state:
  AC powered: false
  USB powered: true
  level: 87
  temperature: 291
==
IsStatusOverride: false
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=20.0, mType=3, mName=skin, mStatus=0}
Current temperatures from HAL:
\tTemperature{mValue=38.5, mType=0, mName=CPU0, mStatus=0}
\tTemperature{mValue=43.25, mType=3, mName=skin, mStatus=2}
==
/dev/block/dm-48 100 40 60 40% /data
==
12.50 99.0
0b1d-feed
"""


def test_fitness_of_a_talkative_phone() -> None:
    assert parse_fitness(TEXT) == Fitness(
        87, 29.1, True, 2, {"CPU0": 38.5, "skin": 43.25}, 60 * 1024, 12.5, "0b1d-feed"
    )
    assert parse_fitness(TEXT).hottest_c == 43.25


def test_fitness_of_a_board_without_services_is_unknown_not_zero() -> None:
    fitness = parse_fitness("Can't find service: battery\n==\n==\n==\n")
    assert fitness == Fitness(None, None, None, None, {}, None, None, "")
    assert fitness.hottest_c is None
