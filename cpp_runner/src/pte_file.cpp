#include "pte_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "pte_header.h"

namespace vlm {
namespace {

namespace runtime = executorch::runtime;
using executorch::extension::MmapDataLoader;

Status check_readable(const std::string& component, const std::string& path) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0 || ::access(path.c_str(), R_OK) != 0) {
    return Failure{ExitCode::kFileUnreadable,
                   component + ": cannot read '" + path + "': " + std::strerror(errno)};
  }
  if (!S_ISREG(info.st_mode)) {
    return Failure{ExitCode::kFileUnreadable, component + ": '" + path + "' is not a file"};
  }
  return {};
}

}  // namespace

Outcome<std::unique_ptr<PteFile>> PteFile::open(const std::string& component,
                                                const std::string& path) {
  VLM_RETURN_IF_FAILED(check_readable(component, path));
  const auto refused = [&](runtime::Error error) {
    return Failure{ExitCode::kLoadFailed, component + ": '" + path + "' is not a usable PTE: " +
                                              runtime::to_string(error)};
  };
  const Status header = check_pte_file(path);
  if (!header.ok()) {
    return Failure{header.failure().code, component + ": '" + path + "' is not a usable PTE: " +
                                              header.failure().message};
  }
  // Not locked into memory: weights of a delegate are copied once and then not read again.
  auto loader =
      MmapDataLoader::from(path.c_str(), MmapDataLoader::MlockConfig::NoMlock);
  if (!loader.ok()) {
    return refused(loader.error());
  }
  std::unique_ptr<PteFile> file(new PteFile());
  file->component_ = component;
  file->loader_ = std::make_unique<MmapDataLoader>(std::move(*loader));
  auto program = runtime::Program::load(file->loader_.get(),
                                        runtime::Program::Verification::InternalConsistency);
  if (!program.ok()) {
    return refused(program.error());
  }
  file->program_ = std::make_unique<runtime::Program>(std::move(*program));
  for (std::size_t i = 0; i < file->program_->num_methods(); ++i) {
    const auto name = file->program_->get_method_name(i);
    if (!name.ok()) {
      return refused(name.error());
    }
    file->method_names_.insert(*name);
  }
  return file;
}

Outcome<std::unique_ptr<Graph>> PteFile::load_graph(const std::string& method) const {
  if (!has_method(method)) {
    return Failure{ExitCode::kContractMismatch,
                   component_ + ": the PTE has no method " + method};
  }
  return Graph::load(*program_, method, component_ + " " + method);
}

Outcome<runtime::EValue> PteFile::run_constant_method(const std::string& method) const {
  const Failure unusable{ExitCode::kContractMismatch,
                         component_ + ": constant method " + method + " gives no number"};
  if (!has_method(method)) {
    return Failure{ExitCode::kContractMismatch,
                   component_ + ": the PTE has no constant method " + method};
  }
  executorch::extension::MallocMemoryAllocator method_allocator;
  runtime::HierarchicalAllocator no_planned_memory({});
  runtime::MemoryManager memory_manager(&method_allocator, &no_planned_memory);
  auto loaded = program_->load_method(method.c_str(), &memory_manager);
  if (!loaded.ok() || loaded->inputs_size() != 0 || loaded->outputs_size() != 1 ||
      loaded->execute() != runtime::Error::Ok) {
    return unusable;
  }
  const runtime::EValue& value = loaded->get_output(0);
  if (!value.isDouble() && !value.isInt()) {
    return unusable;
  }
  return runtime::EValue(value);
}

Outcome<double> PteFile::read_number(const std::string& method) const {
  const auto value = run_constant_method(method);
  if (!value.ok()) {
    return value.failure();
  }
  const double number = value.value().isDouble() ? value.value().toDouble()
                                                 : static_cast<double>(value.value().toInt());
  if (!std::isfinite(number)) {
    return Failure{ExitCode::kContractMismatch, component_ + ": " + method + " is not finite"};
  }
  return number;
}

Outcome<double> PteFile::read_scale(const std::string& method) const {
  const auto number = read_number(method);
  if (!number.ok()) {
    return number.failure();
  }
  // Of float32, as QNN keeps them: so the ratio of two is a finite double.
  constexpr double kSmallest = std::numeric_limits<float>::min();
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (number.value() < kSmallest || number.value() > kLargest) {
    char text[32];
    std::snprintf(text, sizeof(text), "%g", number.value());
    return Failure{ExitCode::kContractMismatch, component_ + ": " + method + " is " + text +
                                                    ", expected a positive number of float32"};
  }
  return number.value();
}

Outcome<std::int64_t> PteFile::read_integer(const std::string& method) const {
  const auto value = run_constant_method(method);
  if (!value.ok()) {
    return value.failure();
  }
  if (!value.value().isInt()) {
    return Failure{ExitCode::kContractMismatch, component_ + ": " + method + " is no integer"};
  }
  return value.value().toInt();
}

}  // namespace vlm
