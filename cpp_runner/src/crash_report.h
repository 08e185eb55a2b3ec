// A signal that ends the process leaves a report that says during which step.
#pragma once

#include <string>

#include "report.h"

namespace vlm {

// From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGINT and SIGHUP write a
// report of status "partial" to `report_path` (to a temporary name, then renamed) and go
// their usual way after that; one that is ignored stays so. `report` is borrowed, and must
// live as long as the process.
void leave_report_on_signal(const std::string& report_path, const Report& report);

}  // namespace vlm
