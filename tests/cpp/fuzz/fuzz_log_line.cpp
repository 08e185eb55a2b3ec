// Whatever a library prints: the scan of its lines stays inside the table.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "exit_codes.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::size_t found =
      vlm::find_signature(std::string_view(reinterpret_cast<const char*>(data), size));
  if (found > vlm::kSignatureCount) {
    std::abort();
  }
  return 0;
}
