// Whatever request.json holds: a request, or bad_request with a message of one line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto request = vlm::parse_request(text);
  if (!request.ok()) {
    const std::string& message = request.failure().message;
    if (request.failure().code != vlm::ExitCode::kBadRequest || message.empty() ||
        message.find('\n') != std::string::npos) {
      std::abort();
    }
  }
  return 0;
}
