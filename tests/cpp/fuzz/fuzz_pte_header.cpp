// Whatever a PTE begins with: accepted, or load_failed with a message.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "pte_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const std::uint64_t file_size : {std::uint64_t{size}, std::uint64_t{1} << 40}) {
    const vlm::Status status = vlm::check_pte_header(data, size, file_size);
    if (!status.ok() && (status.failure().code != vlm::ExitCode::kLoadFailed ||
                         status.failure().message.empty())) {
      std::abort();
    }
  }
  return 0;
}
