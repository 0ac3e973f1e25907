// For tests of the telemetry decoders: requests in protobuf and JSON, and batches as text that can be compared.
#pragma once

#include "telemetry/otlp/otlp.hpp"

#include <protozero/pbf_writer.hpp>

#include <functional>
#include <memory>
#include <string>

namespace dbnet::telemetry::test {

// A jsonb as jsonb_out prints it. Reads what PostgreSQL would read, and fails the test where that is malformed.
std::string text_of(Jsonb jsonb);

// All records, one a line, with what they refer to by index.
std::string text_of(const Batch &batch);

// Protobuf: fields by number, nested by lambda.
std::string message(const std::function<void(protozero::pbf_writer &)> &write);
std::string string_attribute(const std::string &key, const std::string &value); // a KeyValue

// Decodes one request; the body stays for the batch.
struct Outcome {
    std::unique_ptr<const std::string> body;
    Batch batch;
    Decoded decoded;
};
Outcome decode_protobuf(Signal signal, const std::string &body);
Outcome decode_json(Signal signal, const std::string &body);

} // namespace dbnet::telemetry::test
