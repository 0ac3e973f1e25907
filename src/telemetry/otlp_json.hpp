// JSON bodies: not read yet.
#include "telemetry/intake.hpp"
namespace dbnet::telemetry::json {
void read_request(Intake &intake, Signal signal, std::string_view body);
}
