#include "decoder_signature.h"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::ElementType;
using vlm::TensorSpec;

struct Signature {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

// A two-layer decoder, 2 KV heads of 4, context 16, vocabulary 11.
Signature good_signature(std::int64_t ar_len) {
  const std::int64_t columns = 16 - ar_len;
  const ElementType u16 = ElementType::kU16;
  return {{{ElementType::kF32, {1, ar_len, 6}},
           {u16, {1, 1, ar_len, 16}},
           {ElementType::kI32, {1, ar_len}},
           {u16, {1, 2, 4, columns}},
           {u16, {1, 2, 4, columns}},
           {u16, {1, 2, columns, 4}},
           {u16, {1, 2, columns, 4}}},
          {{u16, {1, ar_len, 11}},
           {u16, {1, 2, 4, ar_len}},
           {u16, {1, 2, 4, ar_len}},
           {u16, {1, 2, ar_len, 4}},
           {u16, {1, 2, ar_len, 4}}}};
}

bool is_refused(const Signature& signature, const std::string& expected) {
  const auto read =
      vlm::read_decoder_signature("kv_forward", signature.inputs, signature.outputs);
  return !read.ok() && read.failure().code == vlm::ExitCode::kContractMismatch &&
         read.failure().message.find(expected) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_CASE(decoder_signature_good_gives_all_sizes) {
  const Signature good = good_signature(3);
  const auto read = vlm::read_decoder_signature("prefill_forward", good.inputs, good.outputs);
  BOOST_REQUIRE(read.ok());
  const vlm::DecoderSignature& signature = read.value();
  BOOST_REQUIRE(signature.ar_len == 3 && signature.context_length == 16 && signature.dim == 6);
  BOOST_REQUIRE(signature.n_layers == 2 && signature.n_kv_heads == 2 && signature.head_dim == 4);
  BOOST_REQUIRE(signature.vocab_size == 11 && signature.cache_columns() == 13);
  BOOST_REQUIRE(signature.cache_type == ElementType::kU16 && signature.logits_type == ElementType::kU16);
}

BOOST_AUTO_TEST_CASE(decoder_signature_three_dimensional_mask_is_read) {
  Signature old = good_signature(3);
  old.inputs[1].shape = {1, 3, 16};
  BOOST_REQUIRE(vlm::read_decoder_signature("kv_forward", old.inputs, old.outputs).ok());
}

BOOST_AUTO_TEST_CASE(decoder_signature_wrong_ones_name_the_tensor) {
  Signature broken = good_signature(3);
  broken.inputs.pop_back();
  BOOST_REQUIRE(is_refused(broken, "6 inputs"));
  broken = good_signature(3);
  broken.outputs.pop_back();
  BOOST_REQUIRE(is_refused(broken, "4 outputs"));
  broken = good_signature(3);
  broken.inputs[0].shape[1] = 4;
  BOOST_REQUIRE(is_refused(broken, "hidden states"));
  broken = good_signature(3);
  broken.inputs[1].type = ElementType::kI32;
  BOOST_REQUIRE(is_refused(broken, "attention mask"));
  broken = good_signature(3);
  broken.inputs[1].shape = {};
  BOOST_REQUIRE(is_refused(broken, "attention mask"));
  broken = good_signature(3);
  broken.inputs[2].type = ElementType::kF32;
  BOOST_REQUIRE(is_refused(broken, "position ids"));
  broken = good_signature(3);
  broken.inputs[4].shape = {1, 2, 13, 4};
  BOOST_REQUIRE(is_refused(broken, "K cache input of layer 1"));
  broken = good_signature(3);
  broken.inputs[6].type = ElementType::kU8;
  BOOST_REQUIRE(is_refused(broken, "V cache input of layer 1"));
  broken = good_signature(3);
  broken.outputs[0].type = ElementType::kU8;
  BOOST_REQUIRE(is_refused(broken, "logits"));
  broken = good_signature(3);
  broken.outputs[3].shape[2] = 2;
  BOOST_REQUIRE(is_refused(broken, "V output of layer 0"));
}

BOOST_AUTO_TEST_CASE(decoder_signatures_of_one_cache_agree) {
  const Signature wide = good_signature(3);
  const Signature narrow = good_signature(1);
  const auto prefill = vlm::read_decoder_signature("prefill_forward", wide.inputs, wide.outputs);
  const auto decode = vlm::read_decoder_signature("kv_forward", narrow.inputs, narrow.outputs);
  BOOST_REQUIRE(prefill.ok() && decode.ok());
  BOOST_REQUIRE(vlm::check_signatures_agree(prefill.value(), decode.value()).ok());
  vlm::DecoderSignature other = decode.value();
  other.context_length = 32;
  const vlm::Status status = vlm::check_signatures_agree(prefill.value(), other);
  BOOST_REQUIRE(!status.ok());
  BOOST_REQUIRE(status.failure().message.find("context length is 16, but kv_forward has 32") !=
        std::string::npos);
}
