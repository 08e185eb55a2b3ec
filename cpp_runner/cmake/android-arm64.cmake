# Cross compilation for phones, with the NDK's own toolchain file. README.md tells the steps.
#
#   ANDROID_NDK                an NDK, r26 or later
#   EXECUTORCH_ANDROID_BUILD   where `cmake --install` put an ExecuTorch build for arm64-v8a
foreach(name IN ITEMS ANDROID_NDK EXECUTORCH_ANDROID_BUILD)
  if("$ENV{${name}}" STREQUAL "")
    message(FATAL_ERROR "${name} is not set; cpp_runner/README.md, 'For phones', tells what it is")
  endif()
endforeach()
set(vlm_ndk "$ENV{ANDROID_NDK}")
set(vlm_ndk_toolchain "${vlm_ndk}/build/cmake/android.toolchain.cmake")
if(NOT EXISTS "${vlm_ndk_toolchain}" OR NOT EXISTS "${vlm_ndk}/source.properties")
  message(FATAL_ERROR "ANDROID_NDK: '${vlm_ndk}' is no NDK: it has no "
                      "build/cmake/android.toolchain.cmake with a source.properties")
endif()
file(STRINGS "${vlm_ndk}/source.properties" vlm_ndk_revision REGEX "^Pkg.Revision")
string(REGEX MATCH "[0-9]+" vlm_ndk_major "${vlm_ndk_revision}")
if(NOT vlm_ndk_major OR vlm_ndk_major LESS 26)
  message(FATAL_ERROR "ANDROID_NDK: '${vlm_ndk}' is r${vlm_ndk_major}; r26 or later is needed")
endif()
set(vlm_executorch "$ENV{EXECUTORCH_ANDROID_BUILD}/lib/cmake/ExecuTorch")
if(NOT EXISTS "${vlm_executorch}/executorch-config.cmake")
  message(FATAL_ERROR "EXECUTORCH_ANDROID_BUILD: no executorch-config.cmake in "
                      "'${vlm_executorch}'; name the prefix that ExecuTorch was installed into")
endif()
set(executorch_DIR "${vlm_executorch}" CACHE PATH "ExecuTorch's CMake package")
set(ANDROID_ABI arm64-v8a)
set(ANDROID_PLATFORM android-30)
set(ANDROID_STL c++_shared)
include("${vlm_ndk_toolchain}")
