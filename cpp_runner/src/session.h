// One request from loading to the last token.
#pragma once

#include "outcome.h"
#include "report.h"
#include "request.h"

namespace vlm {

// Runs what `report.settings` asks for. Fills `report` as far as it gets; `report.step` says
// where. All models are gone again when it returns, so a crash while they are torn down leaves
// no report.
Status run_request(Report& report);

}  // namespace vlm
