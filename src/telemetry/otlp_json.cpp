// JSON bodies: not read yet.
#include "telemetry/otlp_json.hpp"
namespace dbnet::telemetry::json {
void read_request(Intake &, Signal, std::string_view) {
    throw Unreadable("JSON is not read yet");
}
} // namespace dbnet::telemetry::json
#include "pg/no_postgres.hpp"
