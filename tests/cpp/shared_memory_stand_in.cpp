// Stands in for the QNN delegate's functions for shared memory: counts what it is asked for and
// writes the counts to the file that VLM_STAND_IN_LOG names when the process ends. With
// VLM_STAND_IN_FAILS_AFTER=N the N + 1st allocation fails.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <set>

namespace {

struct Counts {
  std::set<void*> live;
  std::size_t allocated = 0;
  std::size_t registered = 0;
  std::size_t strangers = 0;  // registered or freed, but never allocated

  ~Counts() {
    const char* path = std::getenv("VLM_STAND_IN_LOG");
    std::FILE* file = path != nullptr ? std::fopen(path, "w") : nullptr;
    if (file != nullptr) {
      std::fprintf(file, "{\"allocated\": %zu, \"registered\": %zu, \"left\": %zu, "
                         "\"strangers\": %zu}\n",
                   allocated, registered, live.size(), strangers);
      std::fclose(file);
    }
  }
};

Counts& counts() {
  static Counts instance;
  return instance;
}

}  // namespace

extern "C" {

void* QnnExecuTorchAllocCustomMem(std::size_t bytes, std::size_t alignment) {
  const char* limit = std::getenv("VLM_STAND_IN_FAILS_AFTER");
  if (limit != nullptr && counts().allocated >= std::strtoul(limit, nullptr, 10)) {
    return nullptr;
  }
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  counts().live.insert(block);
  ++counts().allocated;
  return block;
}

void QnnExecuTorchFreeCustomMem(void* block) {
  counts().strangers += 1 - counts().live.erase(block);
  std::free(block);
}

void QnnExecuTorchAddCustomMemTensorAddr(void*, void* block) {
  counts().strangers += 1 - counts().live.count(block);
  ++counts().registered;
}
}
