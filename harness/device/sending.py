"""Sending files over a sync connection to a device that takes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from harness.device.pack import FOLLOW_BYTES, check_size, packed, sendings
from harness.device.store import SEAL_S, STORE_DIR, LocalFile
from harness.device.sync import SyncStream
from harness.device.taker import Taker

# What was named is flushed to the disk when this much was sent, so that a push does not begin
# from nothing even after a crash.
FLUSH_BYTES = 64 * 1024 * 1024
FLUSH_FILES = 500  # their names share one command
MORE_BYTES = 4 * 1024 * 1024  # the device is told when so much has gone


class Sending:
    """Files on their way, each sending into a numbered folder of `TAG.part`."""

    def __init__(
        self, stream: SyncStream, taker: Taker, tag: str, on_bytes: Callable[[int], None]
    ) -> None:
        self._stream = stream
        self._taker = taker
        self._part_dir = f"{STORE_DIR}/{tag}.part"
        self._on_bytes = on_bytes
        self._untold_bytes = 0
        taker.say(tag)

    def send(self, files: Sequence[LocalFile]) -> dict[str, int]:
        """Send all; the number of the sending each sha256 went with.

        Raises AdbFail with the device's reason, and BundleCorrupt.
        """
        numbers: dict[str, int] = {}
        unflushed_bytes = unflushed_files = 0
        for number, group in enumerate(sendings(files)):
            numbers |= {file.sha256: number for file in group}
            if group[0].size_bytes >= FOLLOW_BYTES:
                self._send_large(number, group[0])
            else:
                self._send_pack(number, group)
            unflushed_bytes += sum(file.size_bytes for file in group)
            unflushed_files += len(group)
            if unflushed_bytes >= FLUSH_BYTES or unflushed_files >= FLUSH_FILES:
                self._taker.say("flush")
                unflushed_bytes = unflushed_files = 0
        self._stream.wait()
        self._taker.say("end")
        self._stream.close()
        return numbers

    def _send_pack(self, number: int, group: Sequence[LocalFile]) -> None:
        def arrived() -> None:
            self._taker.say("pack", number)
            self._on_bytes(sum(file.size_bytes for file in group))

        remote_path = f"{self._part_dir}/{number}/pack"
        self._stream.send_content(packed(group), remote_path, SEAL_S, arrived)

    def _send_large(self, number: int, file: LocalFile) -> None:
        self._stream.wait()  # a pack before it is still to be told of
        self._taker.say("file", number, file.sha256)
        remote_path = f"{self._part_dir}/{number}/{file.sha256}"
        check_size(file, self._stream.send_file(file.path, remote_path, SEAL_S, self._passed))
        self._stream.wait(partial(self._taker.say, "more"))
        self._taker.say("all")

    def _passed(self, size_bytes: int) -> None:
        self._untold_bytes += size_bytes
        if self._untold_bytes >= MORE_BYTES:
            self._taker.say("more")
            self._untold_bytes = 0
        self._on_bytes(size_bytes)
