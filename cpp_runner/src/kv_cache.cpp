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

// One column of K to another place: `rows` elements, far apart in both.
template <typename T>
void scatter_as(std::uint8_t* to, std::size_t to_stride, const std::uint8_t* from,
                std::size_t from_stride, std::size_t rows) {
  T* out = reinterpret_cast<T*>(to);
  const T* in = reinterpret_cast<const T*>(from);
  for (std::size_t row = 0; row < rows; ++row) {
    out[row * to_stride] = in[row * from_stride];
  }
}

// Column `to_column` of (rows, to_columns) becomes column `from_column` of (rows, from_columns).
void scatter(std::uint8_t* to, std::size_t to_column, std::size_t to_columns,
             const std::uint8_t* from, std::size_t from_column, std::size_t from_columns,
             std::size_t rows, std::size_t element_size) {
  to += to_column * element_size;
  from += from_column * element_size;
  if (element_size == 1) {
    scatter_as<std::uint8_t>(to, to_columns, from, from_columns, rows);
  } else if (element_size == 2) {
    scatter_as<std::uint16_t>(to, to_columns, from, from_columns, rows);
  } else {
    scatter_as<std::uint32_t>(to, to_columns, from, from_columns, rows);
  }
}

}  // namespace

KvCache::KvCache(const KvGeometry& geometry, std::size_t columns, TensorMemory& memory)
    : geometry_(geometry), columns_(columns) {
  const std::size_t bytes = geometry.n_kv_heads * geometry.head_dim * geometry.max_columns *
                            geometry.element_size;
  keys_ = memory.allocate(std::vector<std::size_t>(2 * geometry.n_layers, bytes));
  const auto middle = keys_.begin() + static_cast<std::ptrdiff_t>(geometry.n_layers);
  values_.assign(middle, keys_.end());
  keys_.erase(middle, keys_.end());
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
    if (columns != columns_) {
      bytes_touched_ += bytes_per_token() * filled_;
    }
  }
  columns_ = columns;
}

void KvCache::store(std::size_t layer, const std::uint8_t* new_key,
                    const std::uint8_t* new_value, std::size_t new_columns, std::size_t count) {
  const std::size_t size = geometry_.element_size;
  const std::size_t head_dim = geometry_.head_dim;
  const std::size_t key_rows = geometry_.n_kv_heads * head_dim;
  if (count == 1) {
    scatter(key(layer), filled_, columns_, new_key, 0, new_columns, key_rows, size);
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
  bytes_touched_ += 2 * key_rows * size * count;
}

void KvCache::store_selected(std::size_t layer, const std::uint8_t* new_key,
                             const std::uint8_t* new_value, std::size_t new_columns,
                             const std::vector<std::size_t>& rows) {
  const std::size_t size = geometry_.element_size;
  const std::size_t value_row = geometry_.head_dim * size;
  const std::size_t key_rows = geometry_.n_kv_heads * geometry_.head_dim;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t column = filled_ + i;
    scatter(key(layer), column, columns_, new_key, rows[i], new_columns, key_rows, size);
    for (std::size_t head = 0; head < geometry_.n_kv_heads; ++head) {
      std::memcpy(value(layer) + (head * columns_ + column) * value_row,
                  new_value + (head * new_columns + rows[i]) * value_row, value_row);
    }
  }
  bytes_touched_ += 2 * key_rows * size * rows.size();
}

void KvCache::copy_missing(const KvCache& other, std::size_t end) {
  const std::size_t size = geometry_.element_size;
  const std::size_t head_dim = geometry_.head_dim;
  const std::size_t count = end - filled_;
  for (std::size_t layer = 0; layer < geometry_.n_layers; ++layer) {
    for (std::size_t row = 0; row < geometry_.n_kv_heads * head_dim; ++row) {
      std::memcpy(keys_[layer] + (row * columns_ + filled_) * size,
                  other.keys_[layer] + (row * other.columns_ + filled_) * size, count * size);
    }
    for (std::size_t head = 0; head < geometry_.n_kv_heads; ++head) {
      std::memcpy(values_[layer] + (head * columns_ + filled_) * head_dim * size,
                  other.values_[layer] + (head * other.columns_ + filled_) * head_dim * size,
                  count * head_dim * size);
    }
  }
  bytes_touched_ += bytes_per_token() * count;
  filled_ = end;
}

}  // namespace vlm
