"""The virtual phone: a device-side adb daemon that a real adb server connects to.

::

    python -m harness virtual-phone --soc SM8750        # by hand
    with start_virtual_phone("SM8750") as phone: ...    # from a test

It listens on 127.0.0.1 only and needs no root. `disk.py` says what of a phone's file
system it models, `profile.py` what it claims to be, `faults.py` how it misbehaves.
"""

from __future__ import annotations

from harness.virtual_phone.launch import VirtualPhone, start_virtual_phone

__all__ = ["VirtualPhone", "start_virtual_phone"]
