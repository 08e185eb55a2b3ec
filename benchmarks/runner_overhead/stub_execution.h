// The runner's Graph and PteFile without ExecuTorch behind them: any geometry, no arithmetic.
#pragma once

#include <cstddef>

namespace vlm::benchmark {

// Of the decoder that the stub pretends to have loaded.
struct StubGeometry {
  std::size_t context_length = 1024;
  std::size_t prefill_ar_len = 128;
  std::size_t n_layers = 32;
  std::size_t n_kv_heads = 5;
  std::size_t head_dim = 64;
  std::size_t dim = 960;
  std::size_t vocab_size = 49280;
};
extern StubGeometry stub_geometry;

}  // namespace vlm::benchmark
