#include "exit_codes.h"

#include <algorithm>

namespace vlm {

std::size_t find_signature(std::string_view line) {
  const auto bears = [&](const FailureSignature& signature) {
    return std::all_of(signature.parts.begin(), signature.parts.end(), [&](const char* part) {
      return part == nullptr || line.find(part) != std::string_view::npos;
    });
  };
  const auto* end = kFailureSignatures + kSignatureCount;
  return static_cast<std::size_t>(std::find_if(kFailureSignatures, end, bears) -
                                  kFailureSignatures);
}

}  // namespace vlm
