// The command line: vlm_runner --request FILE --report FILE, and what may differ from the request.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "observer.h"
#include "outcome.h"
#include "request.h"

namespace vlm {

struct Options {
  std::string request_path;
  std::string report_path;
  // Instead of the request's, so that one request can be measured in several ways by hand.
  std::optional<std::size_t> warmup;
  std::optional<std::size_t> repeat;
  std::optional<std::size_t> fixed_tokens;
  ObserverKeys observer = ObserverKeys::k202607;
  bool help = false;
};

inline constexpr const char* kUsage =
    "usage: vlm_runner --request FILE --report FILE [--warmup N] [--repeat N] [--fixed-tokens N] "
    "[--observer 2026-07|2026-03|seed]";

// "--name value" and "--name=value" both work; anything else is a usage failure.
Outcome<Options> parse_options(int argc, const char* const* argv);

// Puts what the command line says in place of what the request says.
void apply_options(const Options& options, Request& request);

}  // namespace vlm
