# Cross compilation for aarch64 Linux: apt-get install g++-aarch64-linux-gnu
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
find_program(VLM_AARCH64_CXX aarch64-linux-gnu-g++)
if(NOT VLM_AARCH64_CXX)
  message(FATAL_ERROR "no aarch64-linux-gnu-g++ on PATH: apt-get install g++-aarch64-linux-gnu")
endif()
set(CMAKE_CXX_COMPILER "${VLM_AARCH64_CXX}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
