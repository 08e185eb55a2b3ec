// Element type and shape of one graph input or output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vlm {

enum class ElementType { kU8, kU16, kI32, kI64, kF32, kOther };

// Bytes per element; 0 for kOther.
constexpr std::size_t element_size(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return 1;
    case ElementType::kU16:
      return 2;
    case ElementType::kI32:
    case ElementType::kF32:
      return 4;
    case ElementType::kI64:
      return 8;
    case ElementType::kOther:
      return 0;
  }
  return 0;
}

constexpr const char* element_type_name(ElementType type) {
  switch (type) {
    case ElementType::kU8:
      return "uint8";
    case ElementType::kU16:
      return "uint16";
    case ElementType::kI32:
      return "int32";
    case ElementType::kI64:
      return "int64";
    case ElementType::kF32:
      return "float32";
    case ElementType::kOther:
      return "other";
  }
  return "other";
}

struct TensorSpec {
  ElementType type = ElementType::kOther;
  std::vector<std::int64_t> shape;

  std::size_t element_count() const {
    std::size_t count = 1;
    for (const std::int64_t size : shape) {
      count *= static_cast<std::size_t>(size);
    }
    return count;
  }
  std::size_t byte_count() const { return element_count() * element_size(type); }
};

// "[1, 3, 512, 512]"
inline std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

// "uint16 [1, 1, 32, 128]"
inline std::string spec_text(const TensorSpec& spec) {
  return std::string(element_type_name(spec.type)) + " " + shape_text(spec.shape);
}

}  // namespace vlm
