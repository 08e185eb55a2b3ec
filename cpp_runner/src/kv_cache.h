// The decoder's K and V of all past tokens, laid out as the graphs read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor_memory.h"

namespace vlm {

struct KvGeometry {
  std::size_t n_layers = 0;
  std::size_t n_kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t element_size = 0;  // bytes: 1, 2 or 4
  std::size_t max_columns = 0;   // of the widest graph that reads the cache
};

// One piece of memory per layer and kind, whose address never changes: graphs are given the
// pointers once. What changes is the number of columns (cached tokens) a row has room for,
// when a graph of another width takes over. Columns are filled from index 0 upwards.
class KvCache {
 public:
  // Columns start at `columns`, none filled, all bytes zero. `memory` must outlive the cache.
  KvCache(const KvGeometry& geometry, std::size_t columns, TensorMemory& memory);

  std::uint8_t* key(std::size_t layer) {
    return keys_[layer];
  }  // (n_kv_heads, head_dim, columns)
  std::uint8_t* value(std::size_t layer) {
    return values_[layer];
  }  // (n_kv_heads, columns, head_dim)

  const KvGeometry& geometry() const { return geometry_; }
  std::size_t columns() const { return columns_; }
  std::size_t filled() const { return filled_; }
  bool full() const { return filled_ == columns_; }

  // Lays the filled columns out for a graph that reads `columns` of them. Only filled
  // elements move. Needs filled() <= columns <= max_columns.
  void set_columns(std::size_t columns);

  // Stores the first `count` of `new_columns` tokens of one layer behind the filled columns.
  //   new_key   (n_kv_heads, head_dim, new_columns)
  //   new_value (n_kv_heads, new_columns, head_dim)
  // Needs filled() + count <= columns(). Call advance() after the last layer.
  void store(std::size_t layer, const std::uint8_t* new_key, const std::uint8_t* new_value,
             std::size_t new_columns, std::size_t count);
  void advance(std::size_t count) { filled_ += count; }

  // Stores the tokens at `rows` of `new_columns`, in that order, else as store().
  void store_selected(std::size_t layer, const std::uint8_t* new_key,
                      const std::uint8_t* new_value, std::size_t new_columns,
                      const std::vector<std::size_t>& rows);

  // Copies tokens [filled(), end) of another cache of the same geometry but for its columns.
  // Needs end <= columns() and end <= other.filled().
  void copy_missing(const KvCache& other, std::size_t end);

  std::size_t bytes_per_token() const {
    return 2 * geometry_.n_layers * geometry_.n_kv_heads * geometry_.head_dim *
           geometry_.element_size;
  }

  // Forgets all tokens; the memory stays.
  void clear() { filled_ = 0; }

  // Written by store and set_columns, read ones not counted, since the cache was made.
  std::size_t bytes_touched() const { return bytes_touched_; }

 private:
  KvGeometry geometry_;
  std::size_t columns_;
  std::size_t filled_ = 0;
  std::size_t bytes_touched_ = 0;
  std::vector<std::uint8_t*> keys_;    // per layer, borrowed from the memory
  std::vector<std::uint8_t*> values_;  // per layer
};

}  // namespace vlm
