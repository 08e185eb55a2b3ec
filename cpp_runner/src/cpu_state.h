// The processors this process may use, and how fast they run.
#pragma once

#include <cstdint>
#include <vector>

namespace vlm {

// Numbers of the processors in this process's affinity mask; empty if unknown.
std::vector<int> read_cpu_affinity();

// Current clock of each of these processors in kHz, from cpufreq; empty where it is not told.
std::vector<std::int64_t> read_cpu_frequency_khz(const std::vector<int>& processors);

}  // namespace vlm
