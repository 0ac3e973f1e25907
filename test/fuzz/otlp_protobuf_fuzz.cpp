// Fuzz target of the decoders of OTLP in protobuf.
#include "otlp_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    dbnet::telemetry::fuzz::decode_and_check(dbnet::telemetry::Encoding::protobuf, data, size);
    return 0;
}
