#include "qnn_delegate.h"

#include <dlfcn.h>

#include <executorch/runtime/backend/interface.h>

namespace vlm {

std::string load_qnn_delegate() {
  if (executorch::runtime::get_backend_class(kQnnBackend) != nullptr) {
    return {};
  }
  // Never closed: ExecuTorch keeps pointers into it.
  if (::dlopen("libexecutorch_backend_qnn.so", RTLD_NOW | RTLD_LOCAL) == nullptr) {
    const char* reason = ::dlerror();
    return reason != nullptr ? reason : "unknown error";
  }
  return {};
}

}  // namespace vlm
