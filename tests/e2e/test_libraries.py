"""The report tells with which of Qualcomm's libraries a bundle was run."""

from __future__ import annotations

from harness.bundle import Bundle
from harness.device import Device
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime


def test_report_has_the_qnn_version_in_the_librarys_own_words(
    tiny_bundle: Bundle, phone: Device, runtime: Runtime
) -> None:
    name = next(iter(tiny_bundle.manifest.cases))
    report = run_case(phone, runtime, RunRequest(tiny_bundle, name, "hybrid", 2, 300.0)).report
    version = report.libraries["libQnnHtp.so"]
    assert version is not None
    assert version.startswith(f"v{tiny_bundle.manifest.versions['qnn']}.")
    assert "libexecutorch_backend_qnn.so" in report.libraries
    compilers = str(tiny_bundle.manifest.versions["executorch"]).partition("+")[0]
    assert report.build["executorch_version"] == compilers
