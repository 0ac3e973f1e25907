// Resource attributes that a token pins, from the JSON object of dbnet.token. Pure C++; gateway worker.
#pragma once

#include "telemetry/batch.hpp"

#include <string_view>
#include <vector>

namespace dbnet::gateway {

// Members that are no text, number or boolean are left out: dbnet.create_token lets none in.
std::vector<telemetry::PinnedAttribute> pinned_attributes(std::string_view json_object);

} // namespace dbnet::gateway
