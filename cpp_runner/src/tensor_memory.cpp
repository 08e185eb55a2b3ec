#include "tensor_memory.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace vlm {
namespace {

constexpr const char* kFastRpcLibrary = "libcdsprpc.so";
constexpr std::align_val_t kAlignment{64};  // of pieces: a cache line
// A decoded token's K goes to as many places as a layer has rows, each on a page of its own when
// the context is long: with pages of 4 KiB the TLB misses cost as much as the stores.
constexpr std::align_val_t kHugePage{std::size_t{2} << 20};
// The delegate passes sizes on as int32.
constexpr std::size_t kLargestBlock = std::size_t{1} << 30;

std::size_t padded(std::size_t size) {
  const auto alignment = static_cast<std::size_t>(kAlignment);
  return (size + alignment - 1) / alignment * alignment;
}

template <typename Function>
bool find_function(const char* name, Function& function) {
  // POSIX: the object pointer that dlsym gives is the function's address.
  function = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
  return function != nullptr;
}

}  // namespace

TensorMemory::TensorMemory(bool allow_shared) {
  if (allow_shared) {
    find_shared();
  } else {
    reason_ = "the request says off";
  }
}

void TensorMemory::find_shared() {
  // Kept open: the delegate opens it by the same name.
  if (::dlopen(kFastRpcLibrary, RTLD_NOW | RTLD_LOCAL) == nullptr) {
    const char* error = ::dlerror();
    reason_ = error != nullptr ? error : std::string(kFastRpcLibrary) + " cannot be opened";
    return;
  }
  for (const bool found : {find_function("QnnExecuTorchAllocCustomMem", allocate_shared_),
                           find_function("QnnExecuTorchFreeCustomMem", free_shared_),
                           find_function("QnnExecuTorchAddCustomMemTensorAddr",
                                         register_shared_)}) {
    if (!found) {
      reason_ = "the QNN delegate is missing, or exports no functions for shared memory";
      return;
    }
  }
  is_shared_ = true;
  reason_ = std::string(kFastRpcLibrary) + " and the QNN delegate's functions are there";
}

TensorMemory::~TensorMemory() {
  for (const Block& block : blocks_) {
    if (block.is_shared) {
      free_shared_(block.data);
    } else {
      ::operator delete(block.data, block.alignment);
    }
  }
}

std::uint8_t* TensorMemory::allocate_block(std::size_t bytes) {
  void* data = is_shared_ ? allocate_shared_(bytes, static_cast<std::size_t>(kAlignment)) : nullptr;
  if (is_shared_ && data == nullptr) {
    is_shared_ = false;
    reason_ = "the QNN delegate gave no shared memory for " + std::to_string(bytes) + " bytes";
  }
  const bool block_is_shared = data != nullptr;
  const bool is_huge = bytes >= static_cast<std::size_t>(kHugePage);
  const std::align_val_t alignment = is_huge ? kHugePage : kAlignment;
  if (!block_is_shared) {
    data = ::operator new(bytes, alignment);
    if (is_huge) {
      // A wish only: a kernel without huge pages gives ordinary ones.
      ::madvise(data, bytes, MADV_HUGEPAGE);
    }
  }
  blocks_.push_back({data, block_is_shared, alignment});
  // Zeroed, because a float graph multiplies masked entries by 0 and 0 * NaN is NaN.
  std::memset(data, 0, bytes);
  return static_cast<std::uint8_t*>(data);
}

std::vector<std::uint8_t*> TensorMemory::allocate(const std::vector<std::size_t>& sizes) {
  std::vector<std::uint8_t*> pieces;
  for (std::size_t begin = 0; begin < sizes.size();) {
    std::size_t end = begin;
    std::size_t bytes = 0;
    do {
      bytes += padded(sizes[end]);
      ++end;
    } while (end < sizes.size() && bytes + padded(sizes[end]) <= kLargestBlock);
    std::uint8_t* const block = allocate_block(std::max<std::size_t>(bytes, 1));
    std::uint8_t* piece = block;
    for (; begin < end; ++begin) {
      pieces.push_back(piece);
      if (blocks_.back().is_shared) {
        register_shared_(piece, block);
      }
      piece += padded(sizes[begin]);
    }
  }
  return pieces;
}

}  // namespace vlm
