// Pixels to image tokens.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "graph.h"
#include "outcome.h"
#include "pte_file.h"
#include "request.h"
#include "tensor_memory.h"

namespace vlm {

class VisionEncoder {
 public:
  // `memory` must outlive the encoder.
  static Outcome<std::unique_ptr<VisionEncoder>> load(const std::string& path,
                                                      TensorMemory& memory);

  std::size_t tokens_per_image() const { return tokens_per_image_; }
  std::size_t dim() const { return dim_; }

  // Reads and checks one image: its shape, its size in bytes, every pixel finite.
  Outcome<std::vector<float>> read_pixels(const ImageFile& image) const;  // (1, 3, H, W)

  // Writes the image's tokens to `tokens`.
  Status encode(const std::vector<float>& pixels, float* tokens);  // (tokens_per_image, dim)

  // Time inside Method::execute of the last encode().
  const Interval& execution() const { return graph_->execution(); }

 private:
  VisionEncoder() = default;

  std::unique_ptr<PteFile> file_;
  std::unique_ptr<Graph> graph_;
  std::size_t tokens_per_image_ = 0;
  std::size_t dim_ = 0;
  float* pixels_ = nullptr;  // (1, 3, H, W), borrowed, bound to the graph
  float* tokens_ = nullptr;  // (1, tokens_per_image, dim), borrowed, bound to the graph
};

}  // namespace vlm
