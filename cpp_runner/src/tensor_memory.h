// Memory for graph inputs and outputs: the accelerator's shared memory where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

namespace vlm {

// On a phone QNN reads and writes shared ("rpc") memory in place; tensors in ordinary memory
// are copied over FastRPC at every call. The QNN delegate library exports what is needed, but
// its functions crash where the FastRPC library is missing, so that is looked for first.
class TensorMemory {
 public:
  // Without `allow_shared`, or where something is missing, memory is ordinary.
  explicit TensorMemory(bool allow_shared);
  // Everything allocated is freed: graphs that use it must be gone.
  ~TensorMemory();
  TensorMemory(const TensorMemory&) = delete;
  TensorMemory& operator=(const TensorMemory&) = delete;

  bool is_shared() const { return is_shared_; }
  const std::string& reason() const { return reason_; }  // why shared, or why not

  // One zeroed piece per size, aligned to 64 bytes; ordinary memory of 2 MiB and more in huge
  // pages where the kernel has them. If shared memory runs out, the pieces and
  // all later ones are ordinary; is_shared() and reason() then say so.
  std::vector<std::uint8_t*> allocate(const std::vector<std::size_t>& sizes);

 private:
  struct Block {
    void* data;
    bool is_shared;
    std::align_val_t alignment;  // of ordinary memory
  };
  using AllocateShared = void* (*)(std::size_t bytes, std::size_t alignment);
  using FreeShared = void (*)(void* block);
  using RegisterShared = void (*)(void* tensor, void* block);

  void find_shared();
  std::uint8_t* allocate_block(std::size_t bytes);

  bool is_shared_ = false;
  std::string reason_;
  AllocateShared allocate_shared_ = nullptr;
  FreeShared free_shared_ = nullptr;
  RegisterShared register_shared_ = nullptr;
  std::vector<Block> blocks_;
};

}  // namespace vlm
