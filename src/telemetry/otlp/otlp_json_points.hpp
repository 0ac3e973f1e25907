// Data points of metrics in JSON, of all five types. Pure C++.
#pragma once

#include "telemetry/otlp/otlp_json.hpp"

namespace dbnet::telemetry::json {

void read_point(Intake &intake, MetricType type, Value &value);

} // namespace dbnet::telemetry::json
