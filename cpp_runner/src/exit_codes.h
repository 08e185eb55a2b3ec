// Exit codes of vlm_runner, and the log lines that tell one. Table: harness/failures.json.
#pragma once

#include <cstddef>
#include <string_view>

#include "failure_table.h"

namespace vlm {

constexpr const char* exit_code_name(ExitCode code) {
  for (const ExitCodeRow& row : kExitCodes) {
    if (row.code == code) {
      return row.name;
    }
  }
  return "unknown";
}

// Index in kFailureSignatures of the first signature that a line bears, or the table's size.
std::size_t find_signature(std::string_view line);

inline constexpr std::size_t kSignatureCount =
    sizeof(kFailureSignatures) / sizeof(kFailureSignatures[0]);

}  // namespace vlm
