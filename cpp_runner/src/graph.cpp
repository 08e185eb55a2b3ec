#include "graph.h"

#include <cstring>
#include <utility>

#include <executorch/extension/tensor/tensor_ptr_maker.h>

#include "qnn_delegate.h"

namespace vlm {
namespace {

namespace runtime = executorch::runtime;
using executorch::aten::ScalarType;

ElementType element_type(ScalarType type) {
  switch (type) {
    case ScalarType::Byte:
      return ElementType::kU8;
    case ScalarType::UInt16:
      return ElementType::kU16;
    case ScalarType::Int:
      return ElementType::kI32;
    case ScalarType::Long:
      return ElementType::kI64;
    case ScalarType::Float:
      return ElementType::kF32;
    default:
      return ElementType::kOther;
  }
}

ScalarType scalar_type(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return ScalarType::Byte;
    case ElementType::kU16:
      return ScalarType::UInt16;
    case ElementType::kI32:
      return ScalarType::Int;
    case ElementType::kI64:
      return ScalarType::Long;
    case ElementType::kF32:
    case ElementType::kOther:
      break;
  }
  return ScalarType::Float;
}

TensorSpec tensor_spec(const runtime::TensorInfo& info) {
  TensorSpec spec;
  spec.type = element_type(info.scalar_type());
  for (const std::int32_t size : info.sizes()) {
    spec.shape.push_back(size);
  }
  return spec;
}

// "QnnBackend said ", or nothing for a method that runs on CPU kernels alone.
std::string backend_text(const runtime::MethodMeta& meta) {
  if (meta.num_backends() == 0) {
    return {};
  }
  const auto name = meta.get_backend_name(0);
  return name.ok() ? std::string(*name) + " said " : std::string();
}

}  // namespace

Failure Graph::failure(ExitCode code, const std::string& problem) const {
  return {code, label_ + ": " + problem};
}

Outcome<std::unique_ptr<Graph>> Graph::load(const runtime::Program& program,
                                            const std::string& method, const std::string& label) {
  std::unique_ptr<Graph> graph(new Graph(label));
  const auto meta = program.method_meta(method.c_str());
  if (!meta.ok()) {
    return graph->failure(ExitCode::kContractMismatch, "the PTE has no such method");
  }
  VLM_RETURN_IF_FAILED(graph->read_specs(*meta));
  VLM_RETURN_IF_FAILED(graph->plan_memory(*meta));
  if (meta->uses_backend(kQnnBackend)) {
    const std::string problem = load_qnn_delegate();
    if (!problem.empty()) {
      return graph->failure(ExitCode::kLoadFailed,
                            "it is for the HTP, and the QNN delegate cannot be opened: " + problem);
    }
  }
  auto loaded = program.load_method(method.c_str(), graph->memory_manager_.get());
  if (!loaded.ok()) {
    return graph->failure(ExitCode::kLoadFailed,
                          "ExecuTorch cannot load it: " + backend_text(*meta) +
                              runtime::to_string(loaded.error()) +
                              " (the lines before this one say more)");
  }
  graph->method_ = std::make_unique<runtime::Method>(std::move(*loaded));
  return graph;
}

Status Graph::read_specs(const runtime::MethodMeta& meta) {
  for (std::size_t i = 0; i < meta.num_inputs(); ++i) {
    const auto info = meta.input_tensor_meta(i);
    if (!info.ok()) {
      return failure(ExitCode::kContractMismatch,
                     "input " + std::to_string(i) + " is not a tensor");
    }
    inputs_.push_back(tensor_spec(*info));
    input_is_planned_.push_back(info->is_memory_planned());
  }
  for (std::size_t i = 0; i < meta.num_outputs(); ++i) {
    const auto info = meta.output_tensor_meta(i);
    if (!info.ok()) {
      return failure(ExitCode::kContractMismatch,
                     "output " + std::to_string(i) + " is not a tensor");
    }
    outputs_.push_back(tensor_spec(*info));
    output_is_planned_.push_back(info->is_memory_planned());
  }
  return {};
}

Status Graph::plan_memory(const runtime::MethodMeta& meta) {
  // Spans point into the buffers, so no vector may grow once they are made.
  const std::size_t count = meta.num_memory_planned_buffers();
  planned_buffers_.reserve(count);
  planned_spans_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto size = meta.memory_planned_buffer_size(i);
    if (!size.ok() || *size < 0) {
      return failure(ExitCode::kLoadFailed, "its memory plan cannot be read");
    }
    planned_buffers_.emplace_back(static_cast<std::size_t>(*size));
    planned_spans_.emplace_back(planned_buffers_.back().data(), planned_buffers_.back().size());
  }
  planned_memory_ = std::make_unique<runtime::HierarchicalAllocator>(
      runtime::Span<runtime::Span<std::uint8_t>>(planned_spans_.data(), planned_spans_.size()));
  memory_manager_ = std::make_unique<runtime::MemoryManager>(
      &method_allocator_, planned_memory_.get(), &temp_allocator_);
  return {};
}

Status Graph::set_input(std::size_t index, void* data) {
  const TensorSpec& spec = inputs_[index];
  std::vector<executorch::aten::SizesType> sizes;
  for (const std::int64_t size : spec.shape) {
    sizes.push_back(static_cast<executorch::aten::SizesType>(size));
  }
  const auto tensor = executorch::extension::from_blob(data, std::move(sizes),
                                                       scalar_type(spec.type));
  const runtime::Error error = method_->set_input(*tensor, index);
  if (error != runtime::Error::Ok) {
    return failure(ExitCode::kExecutionFailed, "cannot set input " + std::to_string(index) +
                                                   ": " + runtime::to_string(error));
  }
  return {};
}

Status Graph::bind(const std::vector<void*>& inputs, const std::vector<void*>& outputs) {
  if (inputs.size() != inputs_.size() || outputs.size() != outputs_.size()) {
    return failure(ExitCode::kInternal, "bound to the wrong number of buffers");
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs_[i].type == ElementType::kOther) {
      return failure(ExitCode::kContractMismatch,
                     "input " + std::to_string(i) + " has an unknown element type");
    }
    VLM_RETURN_IF_FAILED(set_input(i, inputs[i]));
    if (input_is_planned_[i]) {
      copied_inputs_.push_back({i, inputs[i]});
    }
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (output_is_planned_[i]) {
      copied_outputs_.push_back({i, outputs[i]});
      continue;
    }
    const runtime::Error error =
        method_->set_output_data_ptr(outputs[i], outputs_[i].byte_count(), i);
    if (error != runtime::Error::Ok) {
      return failure(ExitCode::kExecutionFailed, "cannot set output " + std::to_string(i) +
                                                     ": " + runtime::to_string(error));
    }
  }
  return {};
}

Status Graph::execute() {
  for (const CopiedTensor& input : copied_inputs_) {
    VLM_RETURN_IF_FAILED(set_input(input.index, input.data));
  }
  execution_.begin_ns = now_ns();
  const runtime::Error error = method_->execute();
  execution_.end_ns = now_ns();
  if (error != runtime::Error::Ok) {
    return failure(ExitCode::kExecutionFailed,
                   std::string("execution failed: ") + runtime::to_string(error));
  }
  for (const CopiedTensor& output : copied_outputs_) {
    const auto& tensor = method_->get_output(output.index).toTensor();
    std::memcpy(output.data, tensor.const_data_ptr(), outputs_[output.index].byte_count());
  }
  return {};
}

}  // namespace vlm
