// Exit codes of vlm_runner. README.md repeats this table for the host; keep them equal.
#pragma once

namespace vlm {

// 64 to 73 follow sysexits.h in spirit: whose fault it is can be told from the code.
enum class ExitCode : int {
  kOk = 0,
  kUsage = 64,              // argv is wrong
  kBadRequest = 65,         // request.json is malformed, or asks for what the model does not have
  kFileUnreadable = 66,     // a file that the request names is missing or unreadable
  kContractMismatch = 67,   // a PTE loads, but its methods, shapes or types are not the contract's
  kLoadFailed = 68,         // ExecuTorch or a delegate refused a PTE
  kExecutionFailed = 69,    // a method failed while it ran
  kInternal = 70,           // out of memory, or an error of the runner itself
  kPromptTooLong = 71,      // the prompt does not fit into the context
  kImageMismatch = 72,      // images and placeholders, or an image and the encoder, do not agree
  kOutputNotWritable = 73,  // the report cannot be written
  kNotFinite = 74,          // NaN or infinity in pixels, embeddings or logits
};

constexpr const char* exit_code_name(ExitCode code) {
  switch (code) {
    case ExitCode::kOk:
      return "ok";
    case ExitCode::kUsage:
      return "usage";
    case ExitCode::kBadRequest:
      return "bad_request";
    case ExitCode::kFileUnreadable:
      return "file_unreadable";
    case ExitCode::kContractMismatch:
      return "contract_mismatch";
    case ExitCode::kLoadFailed:
      return "load_failed";
    case ExitCode::kExecutionFailed:
      return "execution_failed";
    case ExitCode::kInternal:
      return "internal";
    case ExitCode::kPromptTooLong:
      return "prompt_too_long";
    case ExitCode::kImageMismatch:
      return "image_mismatch";
    case ExitCode::kOutputNotWritable:
      return "output_not_writable";
    case ExitCode::kNotFinite:
      return "not_finite";
  }
  return "unknown";
}

}  // namespace vlm
