#include "vision_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "contract.h"

namespace vlm {

Outcome<std::unique_ptr<VisionEncoder>> VisionEncoder::load(const std::string& path,
                                                            TensorMemory& memory) {
  auto file = PteFile::open("vision_encoder", path);
  if (!file.ok()) {
    return file.failure();
  }
  std::unique_ptr<VisionEncoder> encoder(new VisionEncoder());
  encoder->file_ = file.take();
  auto graph = encoder->file_->load_graph(contract::kVisionEncoderMethod);
  if (!graph.ok()) {
    return graph.failure();
  }
  encoder->graph_ = graph.take();
  const auto& inputs = encoder->graph_->inputs();
  const auto& outputs = encoder->graph_->outputs();
  const auto mismatch = [&](const std::string& problem) {
    return Failure{ExitCode::kContractMismatch, encoder->graph_->label() + ": " + problem};
  };
  if (inputs.size() != 1 || outputs.size() != 1) {
    return mismatch("has " + std::to_string(inputs.size()) + " inputs and " +
                    std::to_string(outputs.size()) + " outputs, expected one of each");
  }
  if (inputs[0].type != ElementType::kF32 || inputs[0].shape.size() != 4 ||
      inputs[0].shape[0] != 1 || inputs[0].shape[1] != 3 || inputs[0].element_count() == 0) {
    return mismatch("input is " + spec_text(inputs[0]) + ", expected float32 [1, 3, H, W]");
  }
  if (outputs[0].type != ElementType::kF32 || outputs[0].shape.size() != 3 ||
      outputs[0].shape[0] != 1 || outputs[0].element_count() == 0) {
    return mismatch("output is " + spec_text(outputs[0]) + ", expected float32 [1, T, dim]");
  }
  encoder->tokens_per_image_ = static_cast<std::size_t>(outputs[0].shape[1]);
  encoder->dim_ = static_cast<std::size_t>(outputs[0].shape[2]);
  const auto pieces = memory.allocate({inputs[0].byte_count(), outputs[0].byte_count()});
  encoder->pixels_ = reinterpret_cast<float*>(pieces[0]);
  encoder->tokens_ = reinterpret_cast<float*>(pieces[1]);
  VLM_RETURN_IF_FAILED(encoder->graph_->bind({encoder->pixels_}, {encoder->tokens_}));
  return encoder;
}

Outcome<std::vector<float>> VisionEncoder::read_pixels(const ImageFile& image) const {
  const TensorSpec& expected = graph_->inputs()[0];
  if (image.shape != expected.shape) {
    return Failure{ExitCode::kImageMismatch, "image '" + image.path + "': its shape is " +
                                                 shape_text(image.shape) +
                                                 ", the encoder takes " +
                                                 shape_text(expected.shape)};
  }
  const auto bytes = read_file(image.path, "image");
  if (!bytes.ok()) {
    return bytes.failure();
  }
  if (bytes.value().size() != expected.byte_count()) {
    return Failure{ExitCode::kImageMismatch,
                   "image '" + image.path + "': has " + std::to_string(bytes.value().size()) +
                       " bytes, expected " + std::to_string(expected.byte_count()) + " for " +
                       spec_text(expected)};
  }
  std::vector<float> pixels(expected.element_count());
  std::memcpy(pixels.data(), bytes.value().data(), bytes.value().size());
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    if (!std::isfinite(pixels[i])) {
      return Failure{ExitCode::kNotFinite, "image '" + image.path + "': value " +
                                               std::to_string(i) + " is not a finite number"};
    }
  }
  return pixels;
}

Status VisionEncoder::encode(const std::vector<float>& pixels, float* tokens) {
  std::copy(pixels.begin(), pixels.end(), pixels_);
  VLM_RETURN_IF_FAILED(graph_->execute());
  std::copy_n(tokens_, tokens_per_image_ * dim_, tokens);
  return {};
}

}  // namespace vlm
