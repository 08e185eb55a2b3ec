#include "stub_execution.h"

#include "contract.h"
#include "graph.h"
#include "pte_file.h"

namespace vlm {

benchmark::StubGeometry benchmark::stub_geometry;

namespace {

std::int64_t extent(std::size_t size) { return static_cast<std::int64_t>(size); }

std::vector<TensorSpec> decoder_inputs(std::size_t ar_len) {
  const benchmark::StubGeometry& g = benchmark::stub_geometry;
  const std::int64_t rows = extent(ar_len);
  const std::int64_t columns = extent(g.context_length - ar_len);
  std::vector<TensorSpec> inputs = {
      {ElementType::kF32, {1, rows, extent(g.dim)}},
      {ElementType::kU16, {1, 1, rows, extent(g.context_length)}},
      {ElementType::kI32, {1, rows}},
  };
  const TensorSpec key{ElementType::kU16,
                       {1, extent(g.n_kv_heads), extent(g.head_dim), columns}};
  const TensorSpec value{ElementType::kU16,
                         {1, extent(g.n_kv_heads), columns, extent(g.head_dim)}};
  inputs.insert(inputs.end(), g.n_layers, key);
  inputs.insert(inputs.end(), g.n_layers, value);
  return inputs;
}

std::vector<TensorSpec> decoder_outputs(std::size_t ar_len) {
  const benchmark::StubGeometry& g = benchmark::stub_geometry;
  const std::int64_t rows = extent(ar_len);
  std::vector<TensorSpec> outputs = {{ElementType::kU16, {1, rows, extent(g.vocab_size)}}};
  const TensorSpec key{ElementType::kU16, {1, extent(g.n_kv_heads), extent(g.head_dim), rows}};
  const TensorSpec value{ElementType::kU16, {1, extent(g.n_kv_heads), rows, extent(g.head_dim)}};
  outputs.insert(outputs.end(), g.n_layers, key);
  outputs.insert(outputs.end(), g.n_layers, value);
  return outputs;
}

}  // namespace

Outcome<std::unique_ptr<Graph>> Graph::load(const executorch::runtime::Program&,
                                            const std::string&, const std::string& label) {
  std::unique_ptr<Graph> graph(new Graph(label));
  const bool is_prefill = label.find("prefill") != std::string::npos;
  const std::size_t ar_len = is_prefill ? benchmark::stub_geometry.prefill_ar_len : 1;
  if (label.find("tok_embedding") == std::string::npos) {
    graph->inputs_ = decoder_inputs(ar_len);
    graph->outputs_ = decoder_outputs(ar_len);
  } else {
    graph->inputs_ = {{ElementType::kI32, {1, extent(ar_len)}}};
    graph->outputs_ = {
        {ElementType::kF32, {1, extent(ar_len), extent(benchmark::stub_geometry.dim)}}};
  }
  return graph;
}

Status Graph::bind(const std::vector<void*>&, const std::vector<void*>&) { return {}; }

Status Graph::execute() {
  execution_.begin_ns = now_ns();
  execution_.end_ns = now_ns();
  return {};
}

Outcome<std::unique_ptr<PteFile>> PteFile::open(const std::string& component,
                                                const std::string&) {
  std::unique_ptr<PteFile> file(new PteFile());
  file->component_ = component;
  return file;
}

Outcome<std::unique_ptr<Graph>> PteFile::load_graph(const std::string& method) const {
  // Never looked at.
  alignas(executorch::runtime::Program) static std::uint8_t
      program[sizeof(executorch::runtime::Program)];
  return Graph::load(reinterpret_cast<const executorch::runtime::Program&>(program), method,
                     component_ + " " + method);
}

Outcome<double> PteFile::read_scale(const std::string&) const { return 1.0; }

Outcome<std::int64_t> PteFile::read_integer(const std::string&) const { return std::int64_t{0}; }

}  // namespace vlm
