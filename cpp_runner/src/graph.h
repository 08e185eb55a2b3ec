// One method of a PTE, with inputs and outputs in memory that the caller owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/core/hierarchical_allocator.h>
#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method.h>
#include <executorch/runtime/executor/program.h>

#include "clock.h"
#include "outcome.h"
#include "tensor_spec.h"

namespace vlm {

// Pointers are handed to ExecuTorch once, by bind(); execute() then runs on them. A PTE that
// was exported with memory-planned inputs or outputs has its own buffers for those: execute()
// copies them in and out, so callers see no difference.
class Graph {
 public:
  // `program` and the file behind it must outlive the graph. `label` is "<component> <method>".
  static Outcome<std::unique_ptr<Graph>> load(const executorch::runtime::Program& program,
                                              const std::string& method,
                                              const std::string& label);

  const std::string& label() const { return label_; }
  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }

  // Gives every input and output its memory, in order, each at least byte_count() long.
  // The memory is borrowed and must outlive the graph.
  Status bind(const std::vector<void*>& inputs, const std::vector<void*>& outputs);

  Status execute();

  // Of the last execute(): the time inside ExecuTorch's Method::execute, without copies.
  const Interval& execution() const { return execution_; }

 private:
  struct CopiedTensor {
    std::size_t index;
    void* data;
  };

  explicit Graph(std::string label) : label_(std::move(label)) {}
  Status read_specs(const executorch::runtime::MethodMeta& meta);
  Status plan_memory(const executorch::runtime::MethodMeta& meta);
  Status set_input(std::size_t index, void* data);
  Failure failure(ExitCode code, const std::string& problem) const;

  std::string label_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<bool> input_is_planned_;
  std::vector<bool> output_is_planned_;
  std::vector<CopiedTensor> copied_inputs_;
  std::vector<CopiedTensor> copied_outputs_;
  Interval execution_;

  // Everything the method refers to is declared before it, so that it is destroyed after it.
  std::vector<std::vector<std::uint8_t>> planned_buffers_;
  std::vector<executorch::runtime::Span<std::uint8_t>> planned_spans_;
  std::unique_ptr<executorch::runtime::HierarchicalAllocator> planned_memory_;
  executorch::extension::MallocMemoryAllocator method_allocator_;
  executorch::extension::MallocMemoryAllocator temp_allocator_;
  std::unique_ptr<executorch::runtime::MemoryManager> memory_manager_;
  std::unique_ptr<executorch::runtime::Method> method_;
};

}  // namespace vlm
