// A delegate that fails as it is told, for what the HTP simulator cannot produce.
//
//   VLM_FAKE_AT       "init", "execute" or "exit": when
//   VLM_FAKE_TELL     text for stderr, as Qualcomm's libraries print it
//   VLM_FAKE_SIGNAL   a signal to raise, 0 for none
//   VLM_FAKE_ERROR    ExecuTorch's error to return, 0 for none
//
// What it lets through leaves its outputs as they are.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include <unistd.h>

#include <executorch/runtime/backend/interface.h>

namespace {

using executorch::runtime::ArrayRef;
using executorch::runtime::BackendExecutionContext;
using executorch::runtime::BackendInitContext;
using executorch::runtime::CompileSpec;
using executorch::runtime::DelegateHandle;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::Span;

int number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::atoi(text);
}

Error fail_as_told(const char* moment) {
  const char* at = std::getenv("VLM_FAKE_AT");
  if (at == nullptr || std::strcmp(at, moment) != 0) {
    return Error::Ok;
  }
  if (const char* text = std::getenv("VLM_FAKE_TELL")) {
    // Straight to the descriptor, as a vendor's library would that has a libc of its own.
    static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text)));
  }
  if (const int signal = number("VLM_FAKE_SIGNAL")) {
    std::raise(signal);
  }
  return static_cast<Error>(number("VLM_FAKE_ERROR"));
}

class FakeBackend final : public executorch::runtime::BackendInterface {
 public:
  ~FakeBackend() override { static_cast<void>(fail_as_told("exit")); }

  bool is_available() const override { return true; }

  Result<DelegateHandle*> init(BackendInitContext&, FreeableBuffer*,
                               ArrayRef<CompileSpec>) const override {
    const Error error = fail_as_told("init");
    if (error != Error::Ok) {
      return error;
    }
    return const_cast<FakeBackend*>(this);
  }

  Error execute(BackendExecutionContext&, DelegateHandle*, Span<EValue*>) const override {
    return fail_as_told("execute");
  }
};

FakeBackend backend;
const auto registered =
    executorch::runtime::register_backend(executorch::runtime::Backend{"FakeBackend", &backend});

}  // namespace
