"""Benches of several virtual phones behind one or more private adb servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.device import PrivateServer, start_private_server
from harness.virtual_phone import VirtualPhone, start_virtual_phone


@dataclass(frozen=True)
class Lab:
    """Phones, their servers, and the bench file that names them."""

    servers: Sequence[PrivateServer]
    phones: Sequence[VirtualPhone]
    bench_path: Path
    names: Sequence[str]  # of the phones, as in the names of their disks

    @property
    def args(self) -> list[str]:
        return ["--bench", str(self.bench_path)]


@contextmanager
def open_lab(
    folder: Path,
    counts: Sequence[int] = (3,),
    faults: dict[int, Sequence[str]] | None = None,
    socs: Sequence[str] = ("SM8750",),
) -> Iterator[Lab]:
    """As many servers as `counts`, each with so many phones; `faults` by the phone's number.

    Phones are of `socs` in turn. The cache must have been chosen by the caller.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        servers = [
            stack.enter_context(start_private_server(folder / f"home{number}"))
            for number in range(len(counts))
        ]
        owners = [number for number, count in enumerate(counts) for _ in range(count)]

        def start(number: int) -> VirtualPhone:
            return start_virtual_phone(
                socs[number % len(socs)],
                f"{folder.name}-{number}",
                fresh=True,
                faults=(faults or {}).get(number, ()),
                authorized_key=servers[owners[number]].public_key_path,
                timeout_s=90.0,
            )

        with ThreadPoolExecutor(4) as executor:
            phones = list(executor.map(start, range(len(owners))))
        for phone in phones:
            stack.enter_context(phone)
        hosts: list[dict[str, Any]] = [
            {"name": f"host-{number}", "adb": server.server.address, "phones": []}
            for number, server in enumerate(servers)
        ]
        for number, (owner, phone) in enumerate(zip(owners, phones, strict=True)):
            servers[owner].server.ask(f"host:connect:{phone.serial}")
            soc = socs[number % len(socs)]
            entry = {"serial": phone.serial, "soc": soc, "labels": [f"phone-{number}"]}
            hosts[owner]["phones"].append(entry)
        bench_path = folder / "bench.yaml"
        bench_path.write_text(yaml.safe_dump({"schema": 1, "hosts": hosts}))
        names = [f"{socs[n % len(socs)]}-{folder.name}-{n}" for n in range(len(owners))]
        yield Lab(servers, phones, bench_path, names)
