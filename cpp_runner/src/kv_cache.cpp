#include "kv_cache.h"

#include <cstring>

namespace vlm {
namespace {

// Moves the first `used` bytes of each of `rows` rows from one stride to another, in place.
void restride(std::uint8_t* data, std::size_t rows, std::size_t used, std::size_t old_stride,
              std::size_t new_stride) {
  if (new_stride > old_stride) {
    // Growing rows move up: the last one first, or it would be overwritten.
    for (std::size_t row = rows; row-- > 1;) {
      std::memmove(data + row * new_stride, data + row * old_stride, used);
    }
  } else if (new_stride < old_stride) {
    for (std::size_t row = 1; row < rows; ++row) {
      std::memmove(data + row * new_stride, data + row * old_stride, used);
    }
  }
}

// One element to each of `rows` rows: what a decode step does to K.
template <typename T>
void scatter_column(std::uint8_t* cache, const std::uint8_t* column, std::size_t rows,
                    std::size_t stride, std::size_t position) {
  T* out = reinterpret_cast<T*>(cache) + position;
  const T* in = reinterpret_cast<const T*>(column);
  for (std::size_t row = 0; row < rows; ++row) {
    out[row * stride] = in[row];
  }
}

}  // namespace

KvCache::KvCache(const KvGeometry& geometry, std::size_t columns)
    : geometry_(geometry), columns_(columns) {
  const std::size_t bytes = geometry.n_kv_heads * geometry.head_dim * geometry.max_columns *
                            geometry.element_size;
  for (std::size_t layer = 0; layer < geometry.n_layers; ++layer) {
    // Zeroed, because a float graph multiplies masked entries by 0 and 0 * NaN is NaN.
    keys_.push_back(std::make_unique<std::uint8_t[]>(bytes));
    values_.push_back(std::make_unique<std::uint8_t[]>(bytes));
  }
}

void KvCache::set_columns(std::size_t columns) {
  const std::size_t size = geometry_.element_size;
  const std::size_t head_dim = geometry_.head_dim;
  if (filled_ > 0) {
    for (std::size_t layer = 0; layer < geometry_.n_layers; ++layer) {
      restride(key(layer), geometry_.n_kv_heads * head_dim, filled_ * size, columns_ * size,
               columns * size);
      restride(value(layer), geometry_.n_kv_heads, filled_ * head_dim * size,
               columns_ * head_dim * size, columns * head_dim * size);
    }
  }
  columns_ = columns;
}

void KvCache::store(std::size_t layer, const std::uint8_t* new_key,
                    const std::uint8_t* new_value, std::size_t new_columns, std::size_t count) {
  const std::size_t size = geometry_.element_size;
  const std::size_t head_dim = geometry_.head_dim;
  const std::size_t key_rows = geometry_.n_kv_heads * head_dim;
  if (new_columns == 1 && count == 1 && size == 2) {
    scatter_column<std::uint16_t>(key(layer), new_key, key_rows, columns_, filled_);
  } else if (new_columns == 1 && count == 1 && size == 1) {
    scatter_column<std::uint8_t>(key(layer), new_key, key_rows, columns_, filled_);
  } else if (new_columns == 1 && count == 1) {
    scatter_column<std::uint32_t>(key(layer), new_key, key_rows, columns_, filled_);
  } else {
    for (std::size_t row = 0; row < key_rows; ++row) {
      std::memcpy(key(layer) + (row * columns_ + filled_) * size,
                  new_key + row * new_columns * size, count * size);
    }
  }
  for (std::size_t head = 0; head < geometry_.n_kv_heads; ++head) {
    std::memcpy(value(layer) + (head * columns_ + filled_) * head_dim * size,
                new_value + head * new_columns * head_dim * size, count * head_dim * size);
  }
}

}  // namespace vlm
