#include "cpu_state.h"

#include <sched.h>

#include <cinttypes>
#include <cstdio>
#include <string>

namespace vlm {

std::vector<int> read_cpu_affinity() {
  std::vector<int> processors;
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &mask)) {
        processors.push_back(i);
      }
    }
  }
  return processors;
}

std::vector<std::int64_t> read_cpu_frequency_khz(const std::vector<int>& processors) {
  std::vector<std::int64_t> clocks;
  for (const int processor : processors) {
    const std::string path = "/sys/devices/system/cpu/cpu" + std::to_string(processor) +
                             "/cpufreq/scaling_cur_freq";
    std::FILE* file = std::fopen(path.c_str(), "r");
    std::int64_t clock_khz = 0;
    const bool is_read = file != nullptr && std::fscanf(file, "%" SCNd64, &clock_khz) == 1;
    if (file != nullptr) {
      std::fclose(file);
    }
    if (!is_read) {
      return {};
    }
    clocks.push_back(clock_khz);
  }
  return clocks;
}

}  // namespace vlm
