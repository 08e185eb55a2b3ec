// The QNN delegate, brought in when a PTE asks for it.
#pragma once

#include <string>

namespace vlm {

inline constexpr const char* kQnnBackend = "QnnBackend";

// Makes the backend known to ExecuTorch if it is not yet: the delegate is a library of its own
// beside the program, which registers itself when it is opened. So a Runtime for PTEs that run
// on the CPU needs no QNN file, and the same program serves both.
//
// Returns why the library cannot be opened, or nothing.
std::string load_qnn_delegate();

}  // namespace vlm
