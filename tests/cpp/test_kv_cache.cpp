#include "kv_cache.h"

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::KvCache;
using vlm::KvGeometry;

// What must be in the cache: per layer, token, head and channel one element.
struct Expected {
  std::vector<std::vector<std::uint8_t>> keys;    // per layer: tokens x heads x head_dim elements
  std::vector<std::vector<std::uint8_t>> values;  // the same order
};

class Driver {
 public:
  Driver(const KvGeometry& geometry, std::size_t columns, unsigned seed)
      : geometry_(geometry), cache_(geometry, columns, memory_), random_(seed) {
    expected_.keys.resize(geometry.n_layers);
    expected_.values.resize(geometry.n_layers);
  }

  KvCache& cache() { return cache_; }

  // Stores random tokens of a graph output of `width` columns: the first `count`, or `rows`.
  void append(std::size_t width, std::size_t count, const std::vector<std::size_t>& rows = {}) {
    const std::size_t heads = geometry_.n_kv_heads;
    const std::size_t channels = geometry_.head_dim;
    const std::size_t size = geometry_.element_size;
    for (std::size_t layer = 0; layer < geometry_.n_layers; ++layer) {
      const auto key = random_bytes(heads * channels * width * size);    // (heads, channels, width)
      const auto value = random_bytes(heads * channels * width * size);  // (heads, width, channels)
      if (rows.empty()) {
        cache_.store(layer, key.data(), value.data(), width, count);
      } else {
        cache_.store_selected(layer, key.data(), value.data(), width, rows);
      }
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t token = rows.empty() ? i : rows[i];
        for (std::size_t head = 0; head < heads; ++head) {
          for (std::size_t channel = 0; channel < channels; ++channel) {
            const std::size_t key_index = (head * channels + channel) * width + token;
            const std::size_t value_index = (head * width + token) * channels + channel;
            add(expected_.keys[layer], key, key_index);
            add(expected_.values[layer], value, value_index);
          }
        }
      }
    }
    cache_.advance(count);
  }

  bool matches() {
    for (std::size_t layer = 0; layer < geometry_.n_layers; ++layer) {
      if (!layer_matches(layer)) {
        return false;
      }
    }
    return true;
  }

 private:
  std::vector<std::uint8_t> random_bytes(std::size_t count) {
    std::vector<std::uint8_t> bytes(count);
    for (std::uint8_t& byte : bytes) {
      byte = static_cast<std::uint8_t>(random_());
    }
    return bytes;
  }

  void add(std::vector<std::uint8_t>& out, const std::vector<std::uint8_t>& in,
           std::size_t element) {
    const std::size_t size = geometry_.element_size;
    const auto begin = in.begin() + static_cast<std::ptrdiff_t>(element * size);
    out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(size));
  }

  bool layer_matches(std::size_t layer) {
    const std::size_t size = geometry_.element_size;
    const std::size_t channels = geometry_.head_dim;
    std::size_t element = 0;
    for (std::size_t token = 0; token < cache_.filled(); ++token) {
      for (std::size_t head = 0; head < geometry_.n_kv_heads; ++head) {
        for (std::size_t channel = 0; channel < channels; ++channel, ++element) {
          const std::size_t key = (head * channels + channel) * cache_.columns() + token;
          const std::size_t value = (head * cache_.columns() + token) * channels + channel;
          if (std::memcmp(cache_.key(layer) + key * size,
                          expected_.keys[layer].data() + element * size, size) != 0 ||
              std::memcmp(cache_.value(layer) + value * size,
                          expected_.values[layer].data() + element * size, size) != 0) {
            return false;
          }
        }
      }
    }
    return true;
  }

  KvGeometry geometry_;
  vlm::TensorMemory memory_{false};
  KvCache cache_;
  std::mt19937 random_;
  Expected expected_;
};

bool survives_prefill_then_decode(std::size_t element_size, std::size_t tail) {
  const std::size_t context = 24;
  const std::size_t ar_len = 8;
  const KvGeometry geometry{2, 3, 5, element_size, context - 1};
  Driver driver(geometry, context - ar_len, static_cast<unsigned>(element_size + tail));
  driver.append(ar_len, ar_len);
  driver.cache().set_columns(context - 1);
  if (!driver.matches()) {
    return false;
  }
  driver.append(ar_len, tail);
  while (!driver.cache().full()) {
    driver.append(1, 1);
  }
  return driver.matches();
}

}  // namespace

BOOST_AUTO_TEST_CASE(kv_cache_prefill_then_decode_keeps_every_entry) {
  for (const std::size_t size : {1, 2, 4}) {
    for (const std::size_t tail : {1, 3, 8}) {
      BOOST_REQUIRE(survives_prefill_then_decode(size, tail));
    }
  }
}

BOOST_AUTO_TEST_CASE(kv_cache_shrinking_and_growing_at_random_keeps_every_entry) {
  std::mt19937 random(7);
  for (unsigned round = 0; round < 50; ++round) {
    const KvGeometry geometry{2, 2, 3, 2, 31};
    Driver driver(geometry, 16, round);
    for (int step = 0; step < 12; ++step) {
      const std::size_t filled = driver.cache().filled();
      const std::size_t columns = filled + random() % (geometry.max_columns - filled + 1);
      driver.cache().set_columns(columns);
      BOOST_REQUIRE(driver.matches());
      const std::size_t count = std::min<std::size_t>(random() % 4, columns - filled);
      driver.append(4, count);
      BOOST_REQUIRE(driver.matches());
    }
  }
}

BOOST_AUTO_TEST_CASE(kv_cache_addresses_stay_when_width_changes) {
  vlm::TensorMemory memory(false);
  KvCache cache(KvGeometry{1, 2, 4, 2, 15}, 8, memory);
  const std::uint8_t* key = cache.key(0);
  const std::uint8_t* value = cache.value(0);
  cache.set_columns(15);
  BOOST_REQUIRE(cache.key(0) == key);
  BOOST_REQUIRE(cache.value(0) == value);
}

BOOST_AUTO_TEST_CASE(kv_cache_new_is_all_zero) {
  vlm::TensorMemory memory(false);
  KvCache cache(KvGeometry{1, 2, 4, 4, 15}, 8, memory);
  for (std::size_t i = 0; i < 2 * 4 * 15 * 4; ++i) {
    BOOST_REQUIRE(cache.key(0)[i] == 0);
    BOOST_REQUIRE(cache.value(0)[i] == 0);
  }
}

BOOST_AUTO_TEST_CASE(kv_cache_selected_rows_are_stored_in_their_order) {
  for (const std::size_t size : {1, 2, 4}) {
    Driver driver(KvGeometry{2, 3, 4, size, 31}, 31, static_cast<unsigned>(size));
    driver.append(8, 8);
    driver.append(8, 3, {0, 5, 6});
    driver.append(8, 2, {7, 1});
    BOOST_REQUIRE(driver.matches());
    BOOST_REQUIRE(driver.cache().filled() == 13);
  }
}

BOOST_AUTO_TEST_CASE(kv_cache_copy_missing_gives_the_other_width_the_same_entries) {
  vlm::TensorMemory memory(false);
  Driver driver(KvGeometry{2, 3, 4, 2, 31}, 31, 5);
  KvCache narrow(KvGeometry{2, 3, 4, 2, 20}, 20, memory);
  driver.append(4, 4);
  narrow.copy_missing(driver.cache(), 3);
  driver.append(8, 8);
  narrow.copy_missing(driver.cache(), 11);
  driver.cache().set_columns(20);
  for (std::size_t layer = 0; layer < 2; ++layer) {
    for (std::size_t row = 0; row < 3 * 4; ++row) {
      BOOST_REQUIRE(std::memcmp(narrow.key(layer) + row * 40, driver.cache().key(layer) + row * 40,
                                22) == 0);
    }
    for (std::size_t head = 0; head < 3; ++head) {
      BOOST_REQUIRE(std::memcmp(narrow.value(layer) + head * 160,
                                driver.cache().value(layer) + head * 160, 88) == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(kv_cache_decode_step_changes_no_more_bytes_than_it_counts) {
  for (const std::size_t context : {64, 512}) {
    vlm::TensorMemory memory(false);
    const KvGeometry geometry{2, 2, 8, 2, context};
    KvCache cache(geometry, context, memory);
    const std::vector<std::uint8_t> ones(2 * 8 * 2, 0xff);
    const std::size_t before = cache.bytes_touched();
    for (std::size_t layer = 0; layer < 2; ++layer) {
      cache.store(layer, ones.data(), ones.data(), 1, 1);
    }
    std::size_t changed = 0;
    for (std::size_t layer = 0; layer < 2; ++layer) {
      for (std::size_t i = 0; i < 2 * 8 * context * 2; ++i) {
        changed += (cache.key(layer)[i] != 0 ? 1 : 0) + (cache.value(layer)[i] != 0 ? 1 : 0);
      }
    }
    BOOST_REQUIRE(changed == 2 * 2 * ones.size());
    BOOST_REQUIRE(cache.bytes_touched() - before == changed);
  }
}
