// The "PyTorchObserver" line that ExecuTorch's tools read on stdout.
#pragma once

#include <string>

#include "report.h"

namespace vlm {

// Keys by when ExecuTorch's own runners began to print them; each set holds the one before.
enum class ObserverKeys { kSeed, k202603, k202607 };

constexpr const char* observer_keys_name(ObserverKeys keys) {
  switch (keys) {
    case ObserverKeys::kSeed:
      return "seed";
    case ObserverKeys::k202603:
      return "2026-03";
    case ObserverKeys::k202607:
      return "2026-07";
  }
  return "unknown";
}

// The JSON of that line for one turn: ExecuTorch's keys, in milliseconds. As there,
// generated_tokens leaves out the first one, which prefill produced.
std::string observer_json(const LoadTimes& load, const TurnReport& turn, ObserverKeys keys);

}  // namespace vlm
