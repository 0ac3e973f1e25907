// Reading OTLP's JSON bodies: what the three signals share. Keys are lowerCamelCase, other ones are unknown and
// skipped; null is as absent; of a key that comes twice the last wins, but lists of records are joined. Pure C++.
#pragma once

#include "telemetry/otlp/json_value.hpp"

namespace dbnet::telemetry::json {

void read_request(Intake &intake, Signal signal, std::string_view body);

// These return false when the record cannot be kept; the reason is in the intake.
bool read_attributes(Intake &intake, JsonbBuilder &attributes, Value &list); // in place of what is there
bool add_attributes(Intake &intake, JsonbBuilder &attributes, Value &list);
bool read_any_value(Intake &intake, JsonbBuilder &builder, Value &value, unsigned depth = 1);

// One element of the list of items.
void read_span(Intake &intake, Value &value);
void read_metric(Intake &intake, Value &value);
void read_log_record(Intake &intake, Value &value);

} // namespace dbnet::telemetry::json
