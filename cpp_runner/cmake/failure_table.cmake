# Makes failure_table.h of harness/failures.json, which the host reads as it is.

# kBadRequest for bad_request.
function(vlm_constant_name name out)
  string(REPLACE "_" ";" words "${name}")
  set(result "k")
  foreach(word IN LISTS words)
    string(SUBSTRING "${word}" 0 1 first)
    string(SUBSTRING "${word}" 1 -1 rest)
    string(TOUPPER "${first}" first)
    string(APPEND result "${first}${rest}")
  endforeach()
  set(${out} "${result}" PARENT_SCOPE)
endfunction()

# "text" as a C++ literal.
function(vlm_quoted text out)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  set(${out} "\"${text}\"" PARENT_SCOPE)
endfunction()

function(vlm_write_failure_table json_path header_path)
  file(READ "${json_path}" json)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${json_path}")
  set(codes "")
  set(rows "")
  string(JSON count LENGTH "${json}" exit_codes)
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON code GET "${json}" exit_codes ${i} code)
    string(JSON name GET "${json}" exit_codes ${i} name)
    string(JSON meaning GET "${json}" exit_codes ${i} meaning)
    vlm_constant_name("${name}" constant)
    vlm_quoted("${meaning}" meaning)
    string(APPEND codes "  ${constant} = ${code},\n")
    string(APPEND rows "    {ExitCode::${constant}, \"${name}\", ${meaning}},\n")
  endforeach()
  set(signatures "")
  string(JSON count LENGTH "${json}" signatures)
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON name GET "${json}" signatures ${i} name)
    string(JSON code GET "${json}" signatures ${i} exit_code)
    string(JSON explanation GET "${json}" signatures ${i} explanation)
    string(JSON part_count LENGTH "${json}" signatures ${i} parts)
    math(EXPR last_part "${part_count} - 1")
    set(parts "")
    foreach(j RANGE ${last_part})
      string(JSON part GET "${json}" signatures ${i} parts ${j})
      vlm_quoted("${part}" part)
      string(APPEND parts "${part}, ")
    endforeach()
    vlm_constant_name("${code}" constant)
    vlm_quoted("${explanation}" explanation)
    string(APPEND signatures
           "    {\"${name}\", ExitCode::${constant}, {${parts}}, ${explanation}},\n")
  endforeach()
  file(CONFIGURE OUTPUT "${header_path}" @ONLY CONTENT
"// Made of harness/failures.json when CMake configures; edit that file.
#pragma once

#include <array>

namespace vlm {

enum class ExitCode : int {
@codes@};

struct ExitCodeRow {
  ExitCode code;
  const char* name;
  const char* meaning;
};

inline constexpr ExitCodeRow kExitCodes[] = {
@rows@};

// A line of a library's log that tells what went wrong: it holds all `parts`.
struct FailureSignature {
  const char* name;
  ExitCode code;
  std::array<const char*, 4> parts;  // unused ones are null
  const char* explanation;
};

// From causes to consequences: of several that were seen the first one counts.
inline constexpr FailureSignature kFailureSignatures[] = {
@signatures@};

}  // namespace vlm
")
endfunction()
