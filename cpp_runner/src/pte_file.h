// One .pte file: its methods and its constant methods (metadata).
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/runtime/executor/program.h>

#include "graph.h"
#include "outcome.h"

namespace vlm {

// Graphs loaded from a file must not outlive it.
class PteFile {
 public:
  // `component` ("text_decoder") begins every message about this file.
  static Outcome<std::unique_ptr<PteFile>> open(const std::string& component,
                                                const std::string& path);

  const std::string& component() const { return component_; }
  bool has_method(const std::string& name) const { return method_names_.count(name) != 0; }
  Outcome<std::unique_ptr<Graph>> load_graph(const std::string& method) const;

  // The value of a constant method; a contract mismatch if it is missing or no such number. A
  // scale is positive and in the range of float32.
  Outcome<double> read_scale(const std::string& method) const;
  Outcome<std::int64_t> read_integer(const std::string& method) const;

 private:
  PteFile() = default;
  Outcome<double> read_number(const std::string& method) const;
  // Runs a method without inputs; its only output must be a number.
  Outcome<executorch::runtime::EValue> run_constant_method(const std::string& method) const;

  std::string component_;
  std::set<std::string> method_names_;
  std::unique_ptr<executorch::extension::MmapDataLoader> loader_;
  std::unique_ptr<executorch::runtime::Program> program_;
};

}  // namespace vlm
