// Pixels to image tokens.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "graph.h"
#include "outcome.h"
#include "pte_file.h"
#include "request.h"

namespace vlm {

class VisionEncoder {
 public:
  static Outcome<std::unique_ptr<VisionEncoder>> load(const std::string& path);

  std::size_t tokens_per_image() const { return tokens_per_image_; }
  std::size_t dim() const { return dim_; }

  // Reads and checks one image: its shape, its size in bytes, every pixel finite.
  Outcome<std::vector<float>> read_pixels(const ImageFile& image) const;  // (1, 3, H, W)

  // Writes the image's tokens to `tokens`.
  Status encode(const std::vector<float>& pixels, float* tokens);  // (tokens_per_image, dim)

 private:
  VisionEncoder() = default;

  std::unique_ptr<PteFile> file_;
  std::unique_ptr<Graph> graph_;
  std::size_t tokens_per_image_ = 0;
  std::size_t dim_ = 0;
  std::vector<float> pixels_;  // (1, 3, H, W), bound to the graph
  std::vector<float> tokens_;  // (1, tokens_per_image, dim), bound to the graph
};

}  // namespace vlm
