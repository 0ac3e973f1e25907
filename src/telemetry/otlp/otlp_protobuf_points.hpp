// Data points of metrics in protobuf, of all five types. Pure C++.
#pragma once

#include "telemetry/otlp/otlp_protobuf.hpp"

namespace dbnet::telemetry::protobuf {

void read_point(Intake &intake, MetricType type, std::string_view bytes);

} // namespace dbnet::telemetry::protobuf
