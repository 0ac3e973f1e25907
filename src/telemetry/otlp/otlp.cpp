// From a body to records; see the header. Any process that takes telemetry.
#include "telemetry/otlp/otlp.hpp"

#include "telemetry/otlp/otlp_json.hpp"
#include "telemetry/otlp/otlp_protobuf.hpp"

namespace dbnet::telemetry {
namespace {

void read(Intake &intake, Signal signal, Encoding encoding, std::string_view body) {
    constexpr protobuf::ReadItem protobuf_items[] = {protobuf::read_span, protobuf::read_metric,
                                                     protobuf::read_log_record};
    if (encoding == Encoding::json)
        return json::read_request(intake, signal, body);
    try {
        protobuf::read_request(intake, body, protobuf_items[static_cast<size_t>(signal)]);
    } catch (const protozero::exception &problem) {
        throw Unreadable("the body is no protobuf of an OTLP request: " + std::string(problem.what()));
    }
}

} // namespace

Decoded decode(Signal signal, Encoding encoding, std::string_view body, const Sender &sender, Batch &batch) {
    const Batch::Mark before = batch.mark();
    try {
        Intake intake(signal, sender, batch);
        try {
            read(intake, signal, encoding, body);
            return intake.result();
        } catch (const Unreadable &problem) {
            const std::string place = intake.place();
            batch.rewind(before);
            return {false, 0, 0, problem.what(),
                    place + (place.empty() || problem.field.empty() ? "" : ".") + problem.field};
        }
    } catch (...) {
        batch.rewind(before);
        throw;
    }
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
