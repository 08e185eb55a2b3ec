// Errors as values: nothing in the runner throws.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "exit_codes.h"

namespace vlm {

struct Failure {
  ExitCode code = ExitCode::kInternal;
  std::string message;  // "<what>: <what is wrong>", one line
};

// A message as one line: what was quoted from a file may hold anything.
inline std::string one_line(std::string message) {
  for (char& character : message) {
    const auto code = static_cast<unsigned char>(character);
    if (code < 0x20 || code == 0x7f) {
      character = '?';
    }
  }
  return message;
}

// Success, or why not.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Failure failure) : failure_(std::move(failure)) {}  // NOLINT: implicit on purpose

  static Status ok_status() { return Status(); }
  bool ok() const { return !failure_.has_value(); }
  const Failure& failure() const { return *failure_; }

 private:
  std::optional<Failure> failure_;
};

// A value, or why there is none.
template <typename T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : state_(std::move(value)) {}           // NOLINT: implicit on purpose
  Outcome(Failure failure) : state_(std::move(failure)) {}  // NOLINT: implicit on purpose

  bool ok() const { return std::holds_alternative<T>(state_); }
  T& value() { return std::get<T>(state_); }
  const T& value() const { return std::get<T>(state_); }
  T take() { return std::move(std::get<T>(state_)); }
  const Failure& failure() const { return std::get<Failure>(state_); }

 private:
  std::variant<T, Failure> state_;
};

}  // namespace vlm

// Leaves the function with the failure if `expression` (a Status) failed.
#define VLM_RETURN_IF_FAILED(expression)         \
  do {                                           \
    ::vlm::Status vlm_status_ = (expression);    \
    if (!vlm_status_.ok()) {                     \
      return vlm_status_.failure();              \
    }                                            \
  } while (false)
