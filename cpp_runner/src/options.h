// The command line: vlm_runner --request FILE --report FILE
#pragma once

#include <string>

#include "outcome.h"

namespace vlm {

struct Options {
  std::string request_path;
  std::string report_path;
  bool help = false;
};

inline constexpr const char* kUsage = "usage: vlm_runner --request FILE --report FILE";

// "--name value" and "--name=value" both work; anything else is a usage failure.
Outcome<Options> parse_options(int argc, const char* const* argv);

}  // namespace vlm
